package counters

import "os"

func readFile(path string) (string, error) {
	text, err := os.ReadFile(path)
	return string(text), err
}

func readNames(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, err
}

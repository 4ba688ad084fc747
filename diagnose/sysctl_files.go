package diagnose

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// sysctlFolders are where sysctl(8) and systemd look for settings to make at
// boot (sysctl.d(5)).
var sysctlFolders = []string{"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"}

// whereSet lists the lines of this machine's files that set a sysctl, as
// file:line: "text". A file that is found by two names counts once.
func whereSet(name string) []string {
	files := []string{"/etc/sysctl.conf"}
	for _, folder := range sysctlFolders {
		matches, _ := filepath.Glob(filepath.Join(folder, "*.conf"))
		files = append(files, matches...)
	}
	var places []string
	seen := map[string]bool{}
	for _, file := range files {
		real, err := filepath.EvalSymlinks(file)
		if err != nil || seen[real] {
			continue
		}
		seen[real] = true
		text, err := os.ReadFile(real)
		if err != nil {
			continue
		}
		for number, line := range linesSetting(string(text), name) {
			places = append(places, fmt.Sprintf("%s:%d: %q", file, number, line))
		}
	}
	return places
}

// linesSetting yields the lines that set a sysctl, by their numbers from 1. A
// name may be written with dots or slashes, and with a "-" before it
// (sysctl.d(5)). Patterns are not expanded.
func linesSetting(text, name string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		number := 0
		for line := range strings.Lines(text) {
			number++
			line = strings.TrimSpace(line)
			key, _, assigned := strings.Cut(line, "=")
			key = strings.TrimPrefix(strings.TrimSpace(key), "-")
			if assigned && strings.ReplaceAll(key, "/", ".") == name && !yield(number, line) {
				return
			}
		}
	}
}

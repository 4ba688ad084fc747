package process

import (
	"fmt"
	"os"
)

// Read returns the rights of the calling thread. The error wraps
// fs.ErrNotExist on systems without Linux's /proc.
func Read() (Status, error) {
	text, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return Status{}, fmt.Errorf("read the rights of this process: %w", err)
	}
	return Parse(string(text)), nil
}

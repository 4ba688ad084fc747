package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// writtenInside makes a folder and a file in it, and returns what the file has.
var writtenInside = Register("sandbox/written", func(context.Context, *Inside, struct{}) (text string, err error) {
	folder, err := os.MkdirTemp("", "written")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	below := filepath.Join(folder, "below")
	if err := os.Mkdir(below, 0o700); err != nil {
		return "", err
	}
	file := filepath.Join(below, "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		return "", err
	}
	read, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(file)
	return string(read) + " " + info.Mode().String(), err
})

func TestFilesInsideAreTheirOwnersWhateverTheUmask(t *testing.T) {
	for _, of := range []int{0o777, 0o377, 0o277, 0o177, 0o077, 0} {
		before := unix.Umask(of)
		t.Cleanup(func() { unix.Umask(before) })
		s := begin(t, Config{OnHost: true})
		if got, err := writtenInside.Call(t.Context(), s, "", struct{}{}); err != nil || got != "text -rw-------" {
			t.Errorf("with %04o: %q, %v", of, got, err)
		}
	}
}

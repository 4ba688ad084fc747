package files

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Open opens a regular file or a folder below root, by its name with slashes. Nothing
// beyond root is opened, whatever links there are (os.Root). What is neither, such as
// a named pipe, is an error that wraps fs.ErrNotExist.
func Open(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	local, err := filepath.Localize(name)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	// A pipe without a writer would otherwise hold up the one who opens it.
	f, err := root.OpenFile(local, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = fmt.Errorf("open %s: it is neither a file nor a folder: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

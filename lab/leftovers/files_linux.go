package leftovers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// files lists what is in the watched folders.
func files(w Watch, c *census) area {
	a := newArea()
	theirs := heldBy(c, w.Folders)
	for _, folder := range w.Folders {
		if w.ignores(folder.Path) {
			continue
		}
		walk(&a, w, folder, theirs)
	}
	return a
}

// heldBy gives the direct entries of folders in which processes of others have
// something open or work: those are theirs, however new.
func heldBy(c *census, folders []Folder) map[string]bool {
	theirs := map[string]bool{}
	for _, folder := range folders {
		prefix := strings.TrimSuffix(folder.Path, "/") + "/"
		for path := range c.paths {
			if below, ok := strings.CutPrefix(path, prefix); ok {
				first, _, _ := strings.Cut(below, "/")
				theirs[prefix+first] = true
			}
		}
	}
	return theirs
}

func walk(a *area, w Watch, folder Folder, theirs map[string]bool) {
	err := filepath.WalkDir(folder.Path, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed meanwhile, or a folder this machine does not have
		case errors.Is(err, fs.ErrPermission):
			a.note("%v", err)
			return fs.SkipDir
		case err != nil:
			return err
		case path == folder.Path:
			return nil
		case w.ignores(path) && d.IsDir():
			return fs.SkipDir
		case w.ignores(path):
			return nil
		}
		if info, err := d.Info(); err == nil {
			if _, twice := a.entries[path]; !twice {
				a.entries[path] = fileEntry(path, info, folder.Strict, theirs[path])
			}
		}
		if d.IsDir() && !folder.Whole {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		a.note("below %s: %v", folder.Path, err)
	}
}

func fileEntry(path string, info fs.FileInfo, strict, theirs bool) entry {
	uid := "unknown"
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		uid = fmt.Sprint(stat.Uid)
	}
	e := entry{name: fmt.Sprintf("%s (%s, uid %s)", path, info.Mode(), uid)}
	if !strict {
		e.foreign = theirs
		return e
	}
	e.lasting = true
	e.name = path
	e.value = fmt.Sprintf("%s uid %s", info.Mode(), uid)
	switch {
	case info.Mode().IsRegular():
		e.value += fmt.Sprintf(", %d bytes of %s", info.Size(), info.ModTime().UTC().Format("2006-01-02T15:04:05.000000000Z"))
	case info.Mode()&fs.ModeSymlink != 0:
		target, _ := os.Readlink(path)
		e.value += " to " + target
	}
	return e
}

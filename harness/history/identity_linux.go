package history

import (
	"io/fs"
	"syscall"
)

// identity is when a file was last changed in any way, its name and attributes too
// (inode(7), st_ctime), and its inode.
func identity(info fs.FileInfo) (changedNS int64, inode uint64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ctim.Nano(), s.Ino
	}
	return 0, 0
}

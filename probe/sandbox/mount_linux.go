package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mountOwn gives the worker its own view of the machine's files: none can be
// written, /proc and /sys show the sandbox, and /run is empty and writable,
// which iptables needs for its lock.
func mountOwn(facts *Facts) error {
	// Whatever is mounted from here on stays here (mount_namespaces(7)).
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return denied(fmt.Errorf("make the mounts private: %w", err))
	}
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	facts.ReadOnly = unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &readOnly) == nil

	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	facts.Proc = unix.Mount("proc", "/proc", "proc", flags, "") == nil
	if !facts.Proc && facts.ReadOnly {
		// The settings of the namespace are written through what there is.
		writable := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
		if unix.MountSetattr(unix.AT_FDCWD, "/proc", unix.AT_RECURSIVE, &writable) != nil {
			// What is mounted below it may have to stay as it is.
			_ = unix.MountSetattr(unix.AT_FDCWD, "/proc", 0, &writable)
		}
	}
	facts.Sys = unix.Mount("sysfs", "/sys", "sysfs", flags, "") == nil
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return denied(fmt.Errorf("mount a tmpfs on /run: %w", err))
	}
	return nil
}

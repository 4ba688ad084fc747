package resolve

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// aside is where the machine's /etc is seen once its place is taken. /run is
// the sandbox's own.
const aside = "/run/etc-of-the-machine"

// Install puts the files in the place of the machine's: /etc becomes a folder
// in memory that leads to the machine's for all else. It is for sandboxes, in
// which it holds for every program that is started from then on, and for those
// of Go's resolvers that were not used before.
func (f Files) Install() error {
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return err
	}
	// With what is mounted below it, as containers have their hosts file.
	if err := unix.Mount("/etc", aside, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("put /etc aside: %w", err)
	}
	entries, err := os.ReadDir(aside)
	if err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/etc", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount a tmpfs on /etc: %w", err)
	}
	own := map[string]string{"hosts": f.Hosts, "nsswitch.conf": f.Sources, "resolv.conf": f.Resolver}
	for _, entry := range entries {
		if _, taken := own[entry.Name()]; taken {
			continue
		}
		if err := os.Symlink(filepath.Join(aside, entry.Name()), filepath.Join("/etc", entry.Name())); err != nil {
			return err
		}
	}
	for name, text := range own {
		if err := os.WriteFile(filepath.Join("/etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

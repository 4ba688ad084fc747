package cgroupbpf

import (
	"errors"
	"io/fs"
	"slices"
	"testing"
)

func TestAround(t *testing.T) {
	const unified = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	for name, c := range map[string]struct {
		membership, mounts string
		want               []string
	}{
		"a service":       {"1:cpu:/x\n0::/system.slice/a.service\n", unified, []string{"/sys/fs/cgroup/system.slice/a.service", "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup"}},
		"the root":        {"0::/\n", unified, []string{"/sys/fs/cgroup"}},
		"a container":     {"0::/pod/c\n", "30 23 0:26 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", []string{"/sys/fs/cgroup/c", "/sys/fs/cgroup"}},
		"another's mount": {"0::/pod/c\n", "30 23 0:26 /other /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", nil},
		"version 1 alone": {"4:memory:/x\n", "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw\n", nil},
		"two mounts":      {"0::/a\n", unified + "31 23 0:26 / /mnt rw - cgroup2 none rw\n", []string{"/mnt/a", "/mnt"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := around(c.membership, c.mounts)
			if !slices.Equal(got, c.want) || (c.want == nil) != errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func FuzzAround(f *testing.F) {
	f.Add("0::/a/b\n", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	f.Fuzz(func(t *testing.T, membership, mounts string) {
		if got, err := around(membership, mounts); (err == nil) != (len(got) > 0) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

package leftovers

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// sysctlTrees are the folders of /proc/sys that are compared. The others (abi,
// debug, dev) are of devices and instruction sets.
var sysctlTrees = []string{"net", "kernel", "vm", "fs", "user"}

// movingSysctls are those whose value moves by itself or that cannot be read
// without an effect. The patterns are of path.Match; a pattern that matches a
// folder leaves out all of it.
var movingSysctls = []struct{ pattern, why string }{
	{"fs/aio-nr", "counts requests under way"},
	{"fs/binfmt_misc", "is an automount on many machines: looking would mount it"},
	{"fs/dentry-state", "counts cached names"},
	{"fs/file-nr", "counts open files"},
	{"fs/inode-nr", "counts cached inodes"},
	{"fs/inode-state", "counts cached inodes"},
	{"fs/quota", "counts quota operations"},
	{"kernel/hung_task_detect_count", "counts tasks that hang, whoever made them"},
	{"kernel/ns_last_pid", "is the PID given out last"},
	{"kernel/perf_event_max_sample_rate", "is lowered by the kernel when sampling takes too long"},
	{"kernel/pty/nr", "counts open terminals"},
	{"kernel/random/entropy_avail", "follows the entropy pool"},
	{"kernel/random/uuid", "is drawn anew at every read"},
	{"kernel/sched_domain", "holds costs that the scheduler measures as it runs"},
	{"net/core/netdev_rss_key", "is drawn when the first driver asks for it"},
	{"net/ipv4/tcp_fastopen_key", "is drawn when the first Fast Open listener is opened; it is a secret, too"},
	{"net/ipv6/conf/*/hop_limit", "follows router advertisements"},
	{"net/ipv6/conf/*/mtu", "follows router advertisements"},
	{"net/ipv6/neigh/*/base_reachable_time", "follows router advertisements"},
	{"net/ipv6/neigh/*/base_reachable_time_ms", "follows router advertisements"},
	{"net/ipv6/neigh/*/retrans_time", "follows router advertisements"},
	{"net/ipv6/neigh/*/retrans_time_ms", "follows router advertisements"},
	{"net/netfilter/nf_conntrack_count", "counts tracked connections"},
	{"vm/stat_refresh", "folds the kernel's counters when it is read"},
}

// moves says whether a sysctl, by its path below /proc/sys, is left out. No
// router advertises on the loopback interface or to the templates of all
// interfaces, so theirs are compared.
func moves(name string) bool {
	if matched, _ := path.Match("net/ipv6/*/*/*", name); matched {
		if slices.Contains([]string{"lo", "all", "default"}, path.Base(path.Dir(name))) {
			return false
		}
	}
	for _, moving := range movingSysctls {
		if matched, _ := path.Match(moving.pattern, name); matched {
			return true
		}
	}
	return false
}

// sysctls reads the settings under sysctlTrees; those under net are of the
// network namespace of the thread that opens them.
func sysctls() area {
	a := newArea()
	refused := 0
	for _, tree := range sysctlTrees {
		root := filepath.Join("/proc/sys", tree)
		err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
			name := strings.TrimPrefix(file, "/proc/sys/")
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // of an interface that went away meanwhile, or a tree this kernel lacks
			case errors.Is(err, fs.ErrPermission):
				refused++
				return fs.SkipDir
			case err != nil:
				return err
			case moves(name) && d.IsDir():
				return fs.SkipDir
			case moves(name) || !d.Type().IsRegular():
				return nil
			}
			value, state := readSysctl(file)
			switch state {
			case sysctlRefused:
				refused++
			case sysctlRead:
				a.add(name, entry{name: sysctlName(name), value: value, lasting: true})
			}
			return nil
		})
		if err != nil {
			a.note("below %s: %v", root, err)
		}
	}
	if len(a.entries) == 0 {
		return blindArea("none can be read below /proc/sys")
	}
	if refused > 0 {
		a.note("%d may not be read with these rights", refused)
	}
	return a
}

type sysctlState int

const (
	sysctlRead sysctlState = iota
	sysctlRefused
	sysctlNoValue // it is gone, or is there to be written only
)

func readSysctl(file string) (string, sysctlState) {
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&0o444 == 0 {
		return "", sysctlNoValue
	}
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, syscall.EIO):
		// The answer of an IPv6 stable_secret that was never set.
		return "not set", sysctlRead
	case errors.Is(err, fs.ErrPermission):
		return "", sysctlRefused
	case err != nil:
		return "", sysctlNoValue
	}
	if filepath.Base(file) == "stable_secret" {
		digest := sha256.Sum256(content)
		return fmt.Sprintf("a secret of digest %x", digest[:8]), sysctlRead
	}
	return strings.Join(strings.Fields(string(content)), " "), sysctlRead
}

package cgroupbpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// places are the attach types that have to do with IP traffic, as bpftool(8)
// calls them.
var places = []struct {
	name   string
	attach ebpf.AttachType
}{
	{"ingress", ebpf.AttachCGroupInetIngress},
	{"egress", ebpf.AttachCGroupInetEgress},
	{"sock_create", ebpf.AttachCGroupInetSockCreate},
	{"post_bind4", ebpf.AttachCGroupInet4PostBind},
	{"post_bind6", ebpf.AttachCGroupInet6PostBind},
	{"bind4", ebpf.AttachCGroupInet4Bind},
	{"bind6", ebpf.AttachCGroupInet6Bind},
	{"connect4", ebpf.AttachCGroupInet4Connect},
	{"connect6", ebpf.AttachCGroupInet6Connect},
	{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg},
	{"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg},
	{"recvmsg4", ebpf.AttachCGroupUDP4Recvmsg},
	{"recvmsg6", ebpf.AttachCGroupUDP6Recvmsg},
	{"setsockopt", ebpf.AttachCGroupSetsockopt},
	{"getsockopt", ebpf.AttachCGroupGetsockopt},
}

// Read lists the programs of the group that this process is in and of those
// around it, as far up as they are mounted. The error wraps fs.ErrPermission
// without CAP_NET_ADMIN over the machine, and fs.ErrNotExist where no control
// groups of version 2 are mounted.
func Read() ([]Program, error) {
	groups, err := own()
	if err != nil {
		return nil, err
	}
	var programs []Program
	for _, place := range places {
		var waiting []int // those of inner groups that have no Outside yet
		for _, group := range groups {
			ids, err := query(group, place.attach)
			if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, os.ErrInvalid) {
				break // this kernel has no such place
			}
			if err != nil {
				return nil, fmt.Errorf("ask for the programs at %s of %s: %w", place.name, group, err)
			}
			if len(ids) == 0 {
				for _, i := range waiting {
					programs[i].Outside = group
				}
				waiting = nil
			}
			for _, id := range ids {
				waiting = append(waiting, len(programs))
				programs = append(programs, Program{Group: group, At: place.name, ID: uint32(id), Name: nameOf(id)})
			}
		}
	}
	return programs, nil
}

func query(group string, at ebpf.AttachType) ([]ebpf.ProgramID, error) {
	folder, err := os.Open(group)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	result, err := link.QueryPrograms(link.QueryOptions{Target: int(folder.Fd()), Attach: at})
	if err != nil {
		return nil, err
	}
	var ids []ebpf.ProgramID
	for _, p := range result.Programs {
		ids = append(ids, p.ID)
	}
	return ids, nil
}

// nameOf needs CAP_SYS_ADMIN; without it a program is told by its number.
func nameOf(id ebpf.ProgramID) string {
	program, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return ""
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil {
		return ""
	}
	return info.Name
}

// own are the folders of this process's group and of those around it, the inner
// ones first.
func own() ([]string, error) {
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return around(string(membership), string(mounts))
}

// around puts together where a process is in the hierarchy of version 2, of
// which the line begins with "0::", and where that is mounted: the fourth field
// of mountinfo is the group that is mounted, the fifth the folder (proc(5)).
func around(membership, mounts string) ([]string, error) {
	group := ""
	for line := range strings.Lines(membership) {
		if p, found := strings.CutPrefix(strings.TrimSpace(line), "0::"); found {
			group = p
		}
	}
	var folders []string
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		inner, below := strings.CutPrefix(path.Join("/", group), strings.TrimSuffix(fields[3], "/"))
		if !below {
			continue
		}
		folders = nil // the mount on top is the one that is seen
		for p := path.Join("/", inner); ; p = path.Dir(p) {
			folders = append(folders, path.Join(fields[4], p))
			if p == "/" {
				break
			}
		}
	}
	if group == "" || len(folders) == 0 {
		return nil, fmt.Errorf("control groups of version 2: %w", fs.ErrNotExist)
	}
	return folders, nil
}

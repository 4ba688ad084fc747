package diagnose

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// controlGroups are the folders of the control group that this process is in and of
// those around it, the inner ones first, in the hierarchy that has a controller
// (cgroups(7)): the one of version 2, or the controller's own of version 1.
// Inside of a container the paths may be those of the machine, which are not
// there; then the root of what is mounted is the container's.
func controlGroups(controller string) []string {
	text, err := fs.ReadFile(files, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var folders []string
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		var roots []string
		switch {
		case fields[0] == "0" && fields[1] == "":
			roots = []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"}
		case slices.Contains(strings.Split(fields[1], ","), controller):
			roots = []string{"sys/fs/cgroup/" + controller, "sys/fs/cgroup/" + fields[1]}
		}
		for _, root := range roots {
			for inner := path.Join("/", fields[2]); ; inner = path.Dir(inner) {
				folder := path.Join(root, inner)
				if _, err := fs.Stat(files, folder); err == nil && !slices.Contains(folders, folder) {
					folders = append(folders, folder)
				}
				if inner == "/" {
					break
				}
			}
		}
	}
	return folders
}

// readCount reads a file with one number.
func readCount(name string) (uint64, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}

// stalled is from which part of the time on, in per cent, tasks that wait for
// memory are taken for a cause.
const stalled = 10

// memory finds a shortage of memory behind ENOMEM and ENOBUFS: a control group
// that has reached its limit, or a machine whose tasks wait for memory
// (Documentation/accounting/psi.rst).
func memory(_ context.Context, s Symptom) Diagnosis {
	if !s.says(syscall.ENOMEM) && !s.says(syscall.ENOBUFS) {
		return Diagnosis{}
	}
	var d Diagnosis
	for _, folder := range controlGroups("memory") {
		for _, names := range [][2]string{{"memory.max", "memory.current"}, {"memory.limit_in_bytes", "memory.usage_in_bytes"}} {
			limit, err := readCount(path.Join(folder, names[0]))
			if err != nil {
				continue // "max"
			}
			used, err := readCount(path.Join(folder, names[1]))
			if err != nil || limit == 0 || float64(used) < nearly*float64(limit) {
				continue
			}
			const id = "cgroup-memory-max"
			d.Findings = append(d.Findings, Finding{
				Cause: Cause{
					ID:       id,
					Summary:  fmt.Sprintf("The control group of this process may use %d bytes of memory, and uses %d of them.", limit, used),
					Evidence: []string{fmt.Sprintf("/%s/%s: %d; %s: %d", folder, names[0], limit, names[1], used)},
				},
				Remedies: []Remedy{{
					Command: fmt.Sprintf("echo %d > /%s/%s", 2*limit, quoted(folder), names[0]), Cause: id,
					Note: "this doubles it; for good it is MemoryMax= of a systemd unit, or --memory of a container",
				}},
			})
			return d
		}
	}
	text, err := fs.ReadFile(files, "proc/pressure/memory")
	if err != nil {
		return d
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "full" {
			continue
		}
		share, err := strconv.ParseFloat(strings.TrimPrefix(fields[1], "avg10="), 64)
		if err == nil && share >= stalled {
			d.Findings = append(d.Findings, Finding{Cause: Cause{
				ID:       "memory-pressure",
				Summary:  fmt.Sprintf("The machine is short of memory: for %.0f %% of the last ten seconds all tasks waited for it.", share),
				Evidence: []string{"/proc/pressure/memory: " + strings.TrimSpace(line)},
			}})
		}
	}
	return d
}

package diagnose

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/process"
)

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
	for _, folder := range process.ControlGroups(files, "memory") {
		for _, names := range [][2]string{{"memory.max", "memory.current"}, {"memory.limit_in_bytes", "memory.usage_in_bytes"}} {
			limit, err := process.ReadCount(files, path.Join(folder, names[0]))
			if err != nil {
				continue // "max"
			}
			used, err := process.ReadCount(files, path.Join(folder, names[1]))
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

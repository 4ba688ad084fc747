package diagnose

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/cgroupbpf"
)

// readPrograms is a variable so that tests can show machines that this one is
// not.
var readPrograms = cgroupbpf.Read

// groupPrograms finds BPF programs of control groups that stand where a check
// was refused, or lost what it sent.
func groupPrograms(_ context.Context, s Symptom) Diagnosis {
	places := s.refusedAt()
	if len(places) == 0 {
		return Diagnosis{}
	}
	programs, err := readPrograms()
	switch {
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrNotExist):
		return Diagnosis{}
	case errors.Is(err, fs.ErrPermission):
		return Diagnosis{Unseen: []Unseen{{What: "BPF programs of control groups", Why: "reading them takes CAP_NET_ADMIN over the machine: run as root, outside of containers"}}}
	case err != nil:
		return Diagnosis{Unseen: []Unseen{{What: "BPF programs of control groups", Why: err.Error()}}}
	}
	var d Diagnosis
	for _, p := range programs {
		if slices.Contains(places, p.At) {
			d.Findings = append(d.Findings, programFinding(p))
		}
	}
	return d
}

// refusedAt are the places where a program could do what a check met.
func (s Symptom) refusedAt() []string {
	if !s.says(syscall.EPERM) {
		if len(s.Flows) > 0 && s.isSlowOrLost() {
			return []string{"ingress", "egress"}
		}
		return nil
	}
	var places []string
	for call, at := range map[string][]string{
		"bind":    {"bind4", "bind6", "post_bind4", "post_bind6"},
		"connect": {"connect4", "connect6"},
		"dial":    {"connect4", "connect6"},
		"listen":  {"bind4", "bind6", "post_bind4", "post_bind6"},
		"send":    {"sendmsg4", "sendmsg6", "egress"},
		"write":   {"sendmsg4", "sendmsg6", "egress"},
		"open":    {"sock_create"},
		"socket":  {"sock_create"},
		"set":     {"setsockopt"},
		"read":    {"getsockopt"},
	} {
		if strings.Contains(s.Message, call) {
			places = append(places, at...)
		}
	}
	return places
}

func programFinding(p cgroupbpf.Program) Finding {
	id := fmt.Sprintf("cgroup-%s-%d", p.At, p.ID)
	f := Finding{Cause: Cause{
		ID:       id,
		Summary:  fmt.Sprintf("A BPF program of a control group decides about what this process does at %s.", p.At),
		Evidence: []string{p.String(), "this process is in that group, or in one within it"},
	}}
	if p.Outside != "" {
		f.Remedies = []Remedy{{
			Command: fmt.Sprintf("echo 0 > %s", quoted(p.Outside+"/cgroup.procs")),
			Cause:   id,
			Note: fmt.Sprintf("this takes the shell, and what it starts, out of the group; to take the program away: `bpftool cgroup detach %s %s id %d`",
				quoted(p.Group), p.At, p.ID),
		}}
	}
	return f
}

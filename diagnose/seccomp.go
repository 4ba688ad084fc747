package diagnose

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/loopcheck/loopcheck/probe/process"
)

// readRefusals is a variable so that tests can show processes that this one is
// not.
var readRefusals = process.Refusals

// seccompFilter finds a filter that answers a system call of the check in the
// kernel's place, as those of container runtimes do and those of systemd
// (SystemCallFilter=, RestrictAddressFamilies=). Each call is tried, with an
// argument that can do nothing.
func seccompFilter(_ context.Context, s Symptom) Diagnosis {
	rights, err := readRights()
	if err != nil || !rights.Filtered {
		return Diagnosis{}
	}
	var d Diagnosis
	for _, refusal := range readRefusals() {
		if s.makes(refusal.Call) {
			d.Findings = append(d.Findings, seccompFinding(refusal, rights.Filters))
		}
	}
	return d
}

// makes says whether a failure may come of a system call that is refused.
func (s Symptom) makes(call string) bool {
	name, family, isSocket := strings.Cut(call, " ")
	if !isSocket {
		switch name {
		case "connect", "bind", "listen":
			return s.tellsOf(name)
		}
		return true // what every check does that sends anything
	}
	switch family {
	case "inet6":
		return s.IPv6 || s.Missing == "IPv6 loopback" || s.tellsOf("socket") && (strings.Contains(s.Message, "::1") || strings.Contains(s.Message, "IPv6"))
	case "netlink":
		return strings.Contains(s.Message, "netlink") || strings.Contains(s.Message, "sock_diag")
	case "unix":
		return strings.Contains(s.Message, "unix") || s.Missing == "private namespaces"
	}
	return s.tellsOf(name)
}

// tellsOf says whether the message has a word.
func (s Symptom) tellsOf(word string) bool {
	return regexp.MustCompile(`\b` + regexp.QuoteMeta(word) + `\b`).MatchString(s.Message)
}

func seccompFinding(r process.Refusal, filters int) Finding {
	name, family, isSocket := strings.Cut(r.Call, " ")
	what := name + "(2)"
	asked := name + " on descriptor -1"
	if isSocket {
		what = fmt.Sprintf("socket(2) of the family AF_%s", strings.ToUpper(family))
		asked = fmt.Sprintf("socket of AF_%s and a type that there is not", strings.ToUpper(family))
	}
	in := "Seccomp: 2"
	if filters > 0 {
		in += fmt.Sprintf(", Seccomp_filters: %d", filters)
	}
	return Finding{Cause: Cause{
		ID:      "seccomp-" + strings.ReplaceAll(r.Call, " ", "-"),
		Summary: fmt.Sprintf("A seccomp filter of this process refuses %s.", what),
		Evidence: []string{
			fmt.Sprintf("%s: %s, where the kernel answers %s", asked, r.Errno, r.Right),
			"/proc/thread-self/status: " + in,
			"a filter stays with a process and all that it starts (seccomp(2)): whatever started this one, such as a container runtime or a systemd unit with SystemCallFilter= or RestrictAddressFamilies=, has to leave it out",
		},
	}}
}

package diagnose

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/tuning"
)

// settingsCheck is the check that reads every setting and fails where one
// hurts.
const settingsCheck = "CFG-001"

// explained says of which symptoms a setting can be the cause, by its name.
// Those that are not here are found by the check of settings alone.
var explained = map[string]func(Symptom) bool{
	"net.ipv4.icmp_echo_ignore_all": func(s Symptom) bool { return s.sends("icmp", false) },
	"net.ipv6.icmp.echo_ignore_all": func(s Symptom) bool { return s.sends("icmp", true) },
	"net.ipv6.bindv6only":           among("ADDR-001"),
	"net.core.somaxconn":            among("TCP-005", "TCP-006", "TCP-029"),
	"net.core.rmem_default":         among("UDP-010", "PING-019"),
	"net.core.optmem_max":           func(s Symptom) bool { return s.says(syscall.ENOBUFS) },
	"net.ipv4.tcp_window_scaling":   among("TCP-083"),
	"net.ipv4.ipfrag_high_thresh":   among("UDP-002", "UDP-010", "PING-006"),
	"net.ipv6.ip6frag_high_thresh":  among("UDP-002"),
	"net.ipv4.ip_default_ttl":       among("PING-001"),
	"net.ipv4.ip_local_port_range":  lacksPorts, "net.ipv4.ip_local_reserved_ports": lacksPorts,
	"net.ipv4.ip_unprivileged_port_start": func(s Symptom) bool { return s.says(syscall.EACCES) && strings.Contains(s.Message, "bind") },
	"net.ipv6.conf.lo.disable_ipv6":       func(s Symptom) bool { return s.Missing == "IPv6 loopback" },
}

func lacksPorts(s Symptom) bool {
	return s.Missing == "ephemeral ports" || s.says(syscall.EADDRNOTAVAIL) || strings.Contains(s.Message, "no ephemeral port")
}

// among is for what only certain checks can meet.
func among(ids ...string) func(Symptom) bool {
	return func(s Symptom) bool { return slices.Contains(ids, s.Check) }
}

// sends says whether the check sent such traffic.
func (s Symptom) sends(protocol string, ipv6 bool) bool {
	return slices.ContainsFunc(s.Flows, func(f Flow) bool {
		return f.Protocol == protocol && f.To.Addr().Is6() == ipv6
	})
}

// says whether the check tells of an errno.
func (s Symptom) says(errno syscall.Errno) bool { return strings.Contains(s.Message, errno.Error()) }

// settings finds sysctls with a value that breaks what the check asks for.
func settings(ctx context.Context, s Symptom) Diagnosis {
	var names []string
	for _, known := range tuning.Known() {
		explains := explained[known.Name]
		if s.Check == settingsCheck || explains != nil && explains(s) {
			names = append(names, known.Name)
		}
	}
	if len(names) == 0 {
		return Diagnosis{}
	}
	var d Diagnosis
	for _, reading := range tuning.Examine(ctx, readSetting, names...) {
		if !reading.Hurts && !(s.Missing == "IPv6 loopback" && reading.Value != "0") {
			continue
		}
		d.Findings = append(d.Findings, settingFinding(ctx, reading))
	}
	return d
}

func settingFinding(ctx context.Context, r tuning.Reading) Finding {
	id := "sysctl-" + r.Name
	evidence := []string{fmt.Sprintf("%s is %q", r.Name, r.Value)}
	if r.Usual != "" || r.From != "" && r.Name == "net.ipv4.ip_local_reserved_ports" {
		evidence[0] += fmt.Sprintf("; %s is %q", r.From, r.Usual)
	}
	for _, place := range whereSet(r.Name) {
		evidence = append(evidence, "it is set in "+place)
	}
	finding := Finding{Cause: Cause{
		ID:       id,
		Summary:  fmt.Sprintf("%s is %s: with it, %s.", r.Name, r.Value, r.Does),
		Evidence: evidence,
	}}
	if r.Usual == "" && r.Name != "net.ipv4.ip_local_reserved_ports" {
		return finding // what it should be depends on the machine
	}
	arguments := assignment(r.Name, r.Usual)
	for _, along := range tuning.Examine(ctx, readSetting, r.Along...) {
		if len(r.Along) > 0 && along.Differs() {
			arguments += " " + assignment(along.Name, along.Usual)
		}
	}
	finding.Remedies = []Remedy{{Command: "sysctl -w " + arguments, Cause: id, Note: r.Note}}
	return finding
}

// assignment is an argument of sysctl(8).
func assignment(name, value string) string {
	if strings.Contains(value, " ") || value == "" {
		return fmt.Sprintf("%s='%s'", name, value)
	}
	return name + "=" + value
}

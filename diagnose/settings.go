package diagnose

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// setting is a sysctl whose value can break what a check asks for.
type setting struct {
	name string
	// usual is the kernel's default where a fresh network namespace does not
	// tell it: the setting is the machine's, or inherited from it.
	usual string
	// hurts says whether a value is one that breaks something.
	hurts func(value string) bool
	// does says what such a value does, after "with it".
	does string
	// explains says whether that is what the check met.
	explains func(Symptom) bool
	// note stands with the remedy.
	note string
}

// knownSettings are those that are looked at.
//
// Source: Documentation/networking/ip-sysctl.rst, Documentation/admin-guide/sysctl/net.rst.
var knownSettings = []setting{
	{
		name: "net.ipv4.icmp_echo_ignore_all", usual: "0", hurts: not("0"),
		does:     "the kernel answers no ICMP echo request over IPv4",
		explains: func(s Symptom) bool { return s.sends("icmp", false) },
	},
	{
		name: "net.ipv6.icmp.echo_ignore_all", usual: "0", hurts: not("0"),
		does:     "the kernel answers no ICMPv6 echo request",
		explains: func(s Symptom) bool { return s.sends("icmp", true) },
	},
	{
		name: "net.ipv6.bindv6only", usual: "0", hurts: not("0"),
		does:     "a socket bound to [::] takes no IPv4 connections unless it asks for them with IPV6_V6ONLY=0",
		explains: among("ADDR-001"),
	},
	{
		name: "net.ipv6.conf.lo.disable_ipv6", usual: "0", hurts: not("0"),
		does:     "lo has no ::1",
		explains: func(s Symptom) bool { return s.Missing == "IPv6 loopback" },
	},
	{
		name: "net.core.somaxconn", usual: "4096", hurts: below(5),
		does:     "every listener's queue is cut to that length, whatever backlog it asks for",
		explains: among("TCP-005", "TCP-029"),
	},
	{
		name: "net.ipv4.ip_local_port_range", usual: "32768 60999", hurts: narrow(2000),
		does: "few connections to one address and port can stand at a time",
		explains: func(s Symptom) bool {
			return s.Missing == "ephemeral ports" || s.says(syscall.EADDRNOTAVAIL) || strings.Contains(s.Message, "no ephemeral port")
		},
	},
	{
		name: "net.ipv4.ip_unprivileged_port_start", usual: "1024", hurts: above(1024),
		does:     "only root, or CAP_NET_BIND_SERVICE, may bind ports below it",
		explains: func(s Symptom) bool { return s.says(syscall.EACCES) && strings.Contains(s.Message, "bind") },
	},
	{
		name: "net.core.rmem_default", usual: "212992", hurts: below(65536),
		does:     "the receive buffer of a socket overflows after few datagrams, and the rest is lost",
		explains: among("UDP-010", "PING-019"),
		note:     "sockets that are open keep the buffer they have",
	},
}

func not(value string) func(string) bool { return func(v string) bool { return v != value } }

func below(least int) func(string) bool {
	return func(v string) bool { n, err := strconv.Atoi(v); return err == nil && n < least }
}

func above(most int) func(string) bool {
	return func(v string) bool { n, err := strconv.Atoi(v); return err == nil && n > most }
}

// narrow says whether a range holds fewer ports than that.
func narrow(ports int) func(string) bool {
	return func(v string) bool {
		var first, last int
		n, err := fmt.Sscan(v, &first, &last)
		return n == 2 && err == nil && last-first+1 < ports
	}
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

// settings finds sysctls that are off their default and break what the check
// asks for.
func settings(ctx context.Context, s Symptom) Diagnosis {
	var d Diagnosis
	for _, known := range knownSettings {
		if !known.explains(s) {
			continue
		}
		value, err := readSetting(known.name)
		if err != nil {
			continue // this kernel does not have it
		}
		value = strings.Join(strings.Fields(value), " ")
		usual, from := known.kernelDefault(ctx)
		if value == usual || !known.hurts(value) {
			continue
		}
		d.Findings = append(d.Findings, known.finding(value, usual, from))
	}
	return d
}

func (known setting) finding(value, usual, from string) Finding {
	id := "sysctl-" + known.name
	evidence := []string{fmt.Sprintf("%s is %q; %s is %q", known.name, value, from, usual)}
	for _, place := range whereSet(known.name) {
		evidence = append(evidence, "it is set in "+place)
	}
	argument := known.name + "=" + usual
	if strings.Contains(usual, " ") {
		argument = fmt.Sprintf("%s='%s'", known.name, usual)
	}
	return Finding{
		Cause: Cause{
			ID:       id,
			Summary:  fmt.Sprintf("%s is %s: with it, %s.", known.name, value, known.does),
			Evidence: evidence,
		},
		Remedies: []Remedy{{Command: "sysctl -w " + argument, Cause: id, Note: known.note}},
	}
}

// kernelDefault returns the value that the running kernel gives to a network
// namespace, or failing that the one it is documented to have.
func (known setting) kernelDefault(ctx context.Context) (value, from string) {
	if fresh := freshSettings(ctx); fresh[known.name] != "" {
		return fresh[known.name], "what this kernel gives to a fresh network namespace"
	}
	return known.usual, "the kernel's default"
}

// inherited are those whose value in a fresh network namespace is this
// machine's own, and those that a namespace does not have.
//
// Source: Documentation/admin-guide/sysctl/net.rst, devconf_inherit_init_net;
// net/core/sysctl_net_core.c.
func (known setting) inherited() bool {
	return known.name == "net.core.rmem_default" || strings.Contains(known.name, ".conf.")
}

// fresh holds what a fresh namespace was found to have: it does not change
// while this process runs.
var fresh struct {
	sync.Mutex
	values map[string]string
}

// freshSettings reads the known settings in a sandbox. It returns none where
// there is none to be had.
func freshSettings(ctx context.Context) map[string]string {
	fresh.Lock()
	defer fresh.Unlock()
	if fresh.values != nil {
		return fresh.values
	}
	box, err := sandbox.Start(ctx, sandbox.Config{})
	if err != nil {
		return nil
	}
	defer box.Close()
	var names []string
	for _, known := range knownSettings {
		if !known.inherited() {
			names = append(names, known.name)
		}
	}
	if values, err := readFresh.Call(ctx, box, "", names); err == nil {
		fresh.values = values
	}
	return fresh.values
}

// readFresh reads settings; those that are not there it leaves out.
var readFresh = sandbox.Register("diagnose/settings", func(_ context.Context, _ *sandbox.Inside, names []string) (map[string]string, error) {
	values := map[string]string{}
	for _, name := range names {
		if value, err := sysctl.Read(name); err == nil {
			values[name] = strings.Join(strings.Fields(value), " ")
		}
	}
	return values, nil
})

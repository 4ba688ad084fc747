package report

import (
	"net/netip"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// hostile is what an attacker who may name a host, a process or a rule would
// try: markup, terminal escapes, a bell, a mark that reverses text, NUL, and
// bytes that are no UTF-8.
const hostile = "<script>alert(1)</script>\x1b[31m\a\u202e\x00\xff]]>"

// fixture is a report that holds every state, causes and remedies, hostile
// strings and a benchmark. It is the same every time.
func fixture(t testing.TB) *Report {
	t.Helper()
	r := healthy(t)
	r.Duration = 3217 * time.Millisecond
	r.Command = []string{"loopcheck", "run", "--suite", "ping,tcp,udp", "--label-filter", "!slow"}
	r.Host.Hostname = "web-1" + hostile
	r.Suites = []check.Suite{
		{Name: "ping", Title: "ICMP echo over loopback"},
		{Name: "tcp", Title: "TCP connections and echo"},
		{Name: "udp", Title: "UDP datagrams"},
	}
	down := diagnose.Cause{
		ID:       "lo-no-ipv6",
		Summary:  "IPv6 is switched off on the loopback interface, which therefore has no ::1",
		Evidence: []string{"net.ipv6.conf.lo.disable_ipv6 = 1", "lo has the addresses 127.0.0.1/8"},
	}
	up := diagnose.Remedy{Command: "sysctl -w net.ipv6.conf.lo.disable_ipv6=0", Cause: down.ID}
	rule := diagnose.Cause{
		ID:       "rule-drops-lo",
		Summary:  "a firewall rule drops what comes in on lo",
		Evidence: []string{"inet filter input handle 7: iif \"lo\" tcp dport 7 drop comment \"" + hostile + "\""},
	}
	accept := diagnose.Remedy{
		Command: "nft delete rule inet filter input handle 7", Cause: rule.ID,
		Note: "It takes the rule away for every interface; to keep it for others, add `iifname != \"lo\"` to it. " + hostile,
	}
	unprivileged := diagnose.Cause{
		ID:       "no-net-raw",
		Summary:  "loopcheck runs as user 1000 without CAP_NET_RAW",
		Evidence: []string{"CapEff of /proc/self/status is 0000000000000400"},
	}
	raise := diagnose.Remedy{Command: "setcap cap_net_raw+ep /usr/local/bin/loopcheck", Cause: unprivileged.ID, Note: "Or run it as root."}
	noRaw := &check.Missing{Need: check.NetRaw, Found: "socket(AF_INET, SOCK_RAW): operation not permitted"}

	r.Checks = []Check{
		passed("PING-001", "ping", "answers an echo request to 127.0.0.1", "RFC 1122, section 3.2.2.6", 412*time.Microsecond,
			map[string]float64{"rtt_p50_ns": 31250, "lost": 0}),
		{
			ID: "PING-002", Suite: "ping", Title: "answers an echo request to ::1", Grade: check.GradeFail, State: check.Fail,
			Duration: 1003 * time.Millisecond,
			Message:  "Expected\n    <int>: 0\nechoes from ::1 within 1 s to be at least\n    <int>: 1",
			Location: "suites/ping/echo.go:58",
			Evidence: []check.Evidence{{What: "sendto(::1)", Seen: "cannot assign requested address"}},
			Causes:   []diagnose.Cause{down}, Remedies: []diagnose.Remedy{up},
			Source:        "RFC 4443, section 4.2",
			Why:           "A name that resolves to ::1 first, as localhost often does, is answered only after a fallback to IPv4.",
			UsualCauses:   []string{"net.ipv6.conf.lo.disable_ipv6 is 1.", "The kernel was started with ipv6.disable=1."},
			UsualRemedies: []string{"sysctl -w net.ipv6.conf.lo.disable_ipv6=0"},
			Labels:        []string{"PING-002", "ping"},
		},
		causedBy(unprivileged, raise, skipped("PING-013", "ping", "returns the payload of an echo unchanged up to 65,507 bytes", noRaw)),
		causedBy(unprivileged, raise, skipped("PING-018", "ping", "leaves an unsolicited echo reply unanswered", noRaw)),
		skipped("PING-019", "ping", "counts what it answers in /proc/net/snmp", &check.Missing{Need: check.Linux, Found: "this is plan9"}),
		passed("TCP-001", "tcp", "echoes what was sent, byte for byte", "RFC 9293, section 3.8", 2*time.Millisecond,
			map[string]float64{"rtt_p50_ns": 14212, "sent_bytes": 1048576}),
		{
			ID: "TCP-005", Suite: "tcp", Title: "answers a SYN to a closed port of ::1 with RST, so that connect(2) is refused at once",
			Grade: check.GradeFail, State: check.Fail, Duration: 1200 * time.Millisecond,
			Message:  "dial tcp [::1]:40711: connect: cannot assign requested address",
			Location: "suites/tcp/refuse.go:31",
			Evidence: []check.Evidence{
				{What: "connect([::1]:40711)", Seen: "EADDRNOTAVAIL after 41 µs"},
				{What: "listener's process", Seen: "name " + hostile},
			},
			Causes: []diagnose.Cause{down, rule}, Remedies: []diagnose.Remedy{up, accept},
			Source: "RFC 9293, section 3.10.7.1", Labels: []string{"TCP-005", "tcp"},
		},
		{
			ID: "TCP-051", Suite: "tcp", Title: "fills the accept queue no further than somaxconn", Grade: check.GradeWarn, State: check.Warn,
			Duration:      88 * time.Millisecond,
			Message:       "net.core.somaxconn is 128: a burst of more than 128 connections is dropped without a trace but a counter",
			Evidence:      []check.Evidence{{What: "ListenOverflows", Seen: "4100 → 4172\nListenDrops 4100 → 4172"}},
			Unseen:        []diagnose.Unseen{{What: "netfilter rules", Why: "reading them takes CAP_NET_ADMIN: run as root, " + hostile}},
			Source:        "linux, Documentation/admin-guide/sysctl/net.rst",
			Why:           "A service that accepts slowly loses connections in a burst, and its clients wait for a retransmitted SYN.",
			UsualCauses:   []string{"An old kernel, whose default of net.core.somaxconn was 128 before 5.4."},
			UsualRemedies: []string{"Raise net.core.somaxconn and the backlog that the service asks for."},
			Labels:        []string{"TCP-051", "tcp"},
		},
		passed("TCP-056", "tcp", "hält auch ein Verbindungsende mit 日本語 und naïveté aus", "RFC 9293, section 3.6", 3*time.Millisecond, nil),
		passed("UDP-001", "udp", "keeps datagram boundaries", "RFC 768", time.Millisecond, nil),
		{
			ID: "UDP-003", Suite: "udp", Title: "loses nothing at 10,000 datagrams a second", Grade: check.GradeWarn, State: check.Inconclusive,
			Duration: 620 * time.Millisecond, Message: "the hypervisor kept 31 % of the processor time for others while it was asked",
			Source: "linux", Labels: []string{"UDP-003", "udp"},
		},
		{
			ID: "UDP-010", Suite: "udp", Title: "reports a closed port as ECONNREFUSED", Grade: check.GradeFail, State: check.Interrupted,
			Message: "not asked: the run was stopped before", Source: "RFC 1122, section 4.1.3.3", Labels: []string{"UDP-010", "udp"},
		},
	}
	r.Interrupted = true
	r.Benchmarks = benchtest.Results()
	r.Listeners = whoListens()
	r.Firewall = aFirewall()
	r.Summary = Summarize(r.Checks)
	return r
}

// whoListens has a listener of every scope, with and without all that may be
// known of one.
func whoListens() []listeners.Listener {
	const id = "3f4e1a2b9c0d"
	workers := []listeners.Owner{
		{PID: 812, Process: "nginx", UID: 33, Unit: "docker-" + id + ".scope", Container: "docker " + id},
		{PID: 813, Process: "nginx", UID: 33, Unit: "docker-" + id + ".scope", Container: "docker " + id},
		{PID: 1, Process: "systemd", UID: 0, Unit: "init.scope"},
	}
	return []listeners.Listener{
		{
			Protocol: "udp", Address: netip.MustParseAddr("fe80::7"), Port: 546, Scope: listeners.Interface, Interface: "eth0",
			User: "root", Unowned: "not allowed to look", Owners: []listeners.Owner{},
		},
		{
			Protocol: "tcp", Address: netip.IPv6Unspecified(), Port: 8080, Scope: listeners.Every, IPv4Too: true,
			Backlog: &listeners.Backlog{Waiting: 3, Limit: 4096}, PID: 812, Process: "nginx", User: "www-data", UID: 33,
			Unit: workers[0].Unit, Container: workers[0].Container, Owners: workers,
		},
		{
			Protocol: "tcp", Address: netip.MustParseAddr("127.0.0.1"), Port: 62893, Scope: listeners.Loopback, Interface: "lo",
			Backlog: &listeners.Backlog{Limit: 128}, PID: 4711, Process: hostile, User: hostile, UID: 1000,
			Unit: hostile + ".service", Container: "machine " + hostile,
			Owners: []listeners.Owner{{PID: 4711, Process: hostile, UID: 1000, Unit: hostile + ".service", Container: "machine " + hostile}},
		},
	}
}

// healthy is the report of a machine that nothing is wrong with.
func healthy(t testing.TB) *Report {
	t.Helper()
	r := &Report{
		SchemaVersion: SchemaVersion,
		Tool:          Tool{Version: "0.1.0", Commit: "4f2a9c1", Go: "go1.26.0"},
		Started:       time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC),
		Duration:      2 * time.Second,
		Command:       []string{"loopcheck", "run"},
		Host: host.Facts{
			Hostname: "web-1", OS: "Debian GNU/Linux 13 (trixie)", Kernel: "6.18.0-amd64", Arch: "amd64",
			CPUs: []host.CPU{
				{Number: 0, Model: "AMD EPYC 7B13", Core: 0, LLC: "0-1"},
				{Number: 1, Model: "AMD EPYC 7B13", Core: 1, LLC: "0-1"},
			},
			Virtualization: "kvm", UID: 1000, ClockSource: "tsc",
			Idle:         host.Idle{Driver: "haltpoll", Governor: "haltpoll", GuestHaltPollNS: "200000"},
			Capabilities: []string{"CAP_NET_BIND_SERVICE"},
			Sysctls: map[string]string{
				"net.core.somaxconn": "4096", "net.ipv4.ip_local_port_range": "32768 60999",
				"net.ipv4.ping_group_range": "1 0",
			},
			Interfaces: []host.Interface{
				{Name: "lo", MTU: 65536, Flags: []string{"up", "loopback", "running"}, Addresses: []string{"127.0.0.1/8", "::1/128"}},
				{Name: "eth0", MTU: 1500, Flags: []string{"up", "broadcast"}, Addresses: []string{"192.0.2.7/24", "2001:db8::7/64"}},
			},
			Limits: map[string]host.Limit{"RLIMIT_NOFILE": {Soft: 1024, Hard: 1048576}, "RLIMIT_NPROC": {Soft: -1, Hard: -1}},
		},
		Noise: host.Noise{Steal: 0.012, PSICPU: 0.04, Load: 0.31, ContextSwitches: 18342, ClockSource: "tsc", TimerOverheadNS: 54.2},
		Suites: []check.Suite{
			{Name: "tcp", Title: "TCP connections and echo"},
			{Name: "udp", Title: "UDP datagrams"},
		},
		Checks: []Check{
			passed("TCP-001", "tcp", "echoes what was sent, byte for byte", "RFC 9293, section 3.8", 2*time.Millisecond,
				map[string]float64{"rtt_p50_ns": 14212}),
			passed("UDP-001", "udp", "keeps datagram boundaries", "RFC 768", time.Millisecond, nil),
		},
		Benchmarks: []bench.Result{echoes()},
	}
	r.Summary = Summarize(r.Checks)
	return r
}

func passed(id, suite, title, source string, took time.Duration, measured map[string]float64) Check {
	return Check{
		ID: id, Suite: suite, Title: title, Grade: check.GradeFail, State: check.Pass, Duration: took,
		Source: source, Labels: []string{id, suite}, Measurements: measured,
	}
}

func skipped(id, suite, title string, missing *check.Missing) Check {
	return Check{
		ID: id, Suite: suite, Title: title, Grade: check.GradeFail, State: check.Skip, Source: "RFC 792",
		Message: "needs " + missing.Name + " (" + missing.Found + "): " + missing.How,
		Missing: missing, Labels: []string{id, suite},
	}
}

// causedBy adds a cause that was found to a check.
func causedBy(cause diagnose.Cause, remedy diagnose.Remedy, c Check) Check {
	c.Causes = append(c.Causes, cause)
	c.Remedies = append(c.Remedies, remedy)
	return c
}

// echoes is the benchmark of a machine that nothing is wrong with.
func echoes() bench.Result {
	return benchtest.Result(bench.Spec{Transport: bench.TCP, Engine: bench.NetConn}, 14_000, 20_000)
}

package faults

import "regexp"

// setting is a fault that is one sysctl.
func setting(name, value, hurts string, flagged ...string) Fault {
	if flagged == nil {
		flagged = one("CFG-001")
	}
	return Fault{
		Name: "sysctl-" + name, Hurts: hurts,
		Damage: one("sysctl -qw '" + name + "=" + value + "'"), Flagged: flagged, Causes: one(regexp.QuoteMeta(name)),
	}
}

var settings = family("settings", []Fault{
	setting("net.ipv4.icmp_echo_ignore_all", "1", "health checks by ping fail", "PING-001"),
	setting("net.ipv6.icmp.echo_ignore_all", "1", "health checks by ping fail on ::1", "PING-018"),
	setting("net.ipv4.tcp_window_scaling", "0", "no more than 64 KiB are under way", "TCP-083"),
	setting("net.ipv6.bindv6only", "1", "what listens on [::] alone refuses IPv4 clients", "ADDR-001"),
	{
		Name: "sysctl-net.ipv6.ip6frag_high_thresh", Hurts: "datagrams that go in fragments never arrive",
		Damage:  one("sysctl -qw net.ipv6.ip6frag_low_thresh=0 net.ipv6.ip6frag_high_thresh=0"),
		Flagged: one("UDP-002"), Causes: one(`net\.ipv6\.ip6frag_high_thresh`),
	},
	setting("net.ipv4.ip_local_reserved_ports", "1024-65535", "no ephemeral port is left: connect fails with EADDRNOTAVAIL", "TCP-031"),
	setting("net.ipv4.ip_local_port_range", "60000 60049", "the 51st connection to one address fails with EADDRNOTAVAIL"),
	setting("net.ipv4.tcp_rmem", "4096 4096 4096", "a receiver takes a few kilobytes at a time"),
	setting("net.ipv4.tcp_wmem", "4096 4096 4096", "a sender has a few kilobytes under way"),
	setting("net.core.somaxconn", "1", "the third connection that waits to be accepted times out"),
	setting("net.ipv4.tcp_timestamps", "0", "ports in TIME_WAIT cannot be used again, so that busy clients run out of them"),
	setting("net.ipv4.tcp_abort_on_overflow", "1", "clients are reset where a busy server would have answered a moment later"),
	setting("net.ipv4.tcp_retries2", "1", "connections are given up when a peer stalls for half a second"),
	setting("net.ipv4.tcp_syn_retries", "1", "one lost SYN more than one fails a connection"),
	setting("net.ipv4.tcp_synack_retries", "0", "a lost SYN-ACK is never sent again"),
	setting("net.ipv4.tcp_max_tw_buckets", "0", "no port waits in TIME_WAIT, so that late segments reach the next connection"),
	setting("net.ipv4.ip_unprivileged_port_start", "32000", "ordinary users' services cannot bind their ports"),
	setting("net.ipv4.conf.all.route_localnet", "1", "neighbours may reach what listens on 127.0.0.1 (CVE-2020-8558)"),
	setting("net.ipv4.tcp_tw_reuse", "0", "clients that make many short connections run out of ports"),
	setting("net.ipv4.tcp_sack", "0", "one lost segment costs all that follow it"),
	{
		Name: "sysctl-net.ipv4.ipfrag_high_thresh", Hurts: "datagrams that go in fragments never arrive",
		Damage:  one("sysctl -qw net.ipv4.ipfrag_low_thresh=0 net.ipv4.ipfrag_high_thresh=0"),
		Flagged: one("CFG-001"), Causes: one(`net\.ipv4\.ipfrag_high_thresh`),
	},
	setting("net.ipv4.ip_default_ttl", "1", "nothing that is sent gets past the first router"),
	{
		Name: "sysctl-no-syn-queue", Hurts: "a handful of unanswered SYNs keeps all clients out",
		Damage:  []string{"sysctl -qw net.ipv4.tcp_syncookies=0", "sysctl -qw net.ipv4.tcp_max_syn_backlog=1"},
		Flagged: one("CFG-001"), Causes: []string{"tcp_syncookies", "tcp_max_syn_backlog"},
	},
})

// narrow is an ephemeral range of a hundred ports.
const narrow = "sysctl -qw net.ipv4.ip_local_port_range='40000 40099'"

const ownersChoice = "which process should end is its owner's choice"

var ephemeral = family("ephemeral ports", []Fault{
	{
		Name: "ephemeral-tcp-held", Hurts: "connect and bind find no free port", World: one(narrow),
		Machine: Machine{Hold: &Hold{Network: "tcp", From: 40000, To: 40099}}, Flagged: one("TCP-031"), Causes: one("ephemeral|ip_local_port_range"), NoRemedy: ownersChoice, Ask: []string{"TCP-029", "TCP-031", "ports"},
	},
	{
		Name: "ephemeral-udp-held", Hurts: "a client finds no port to send a datagram from", World: one(narrow),
		Machine: Machine{Hold: &Hold{Network: "udp", From: 40000, To: 40099}}, Flagged: one("UDP-001"), Causes: one("ephemeral|ip_local_port_range"), NoRemedy: ownersChoice, Ask: one("UDP-001"),
	},
	{
		Name: "port-squatted", Hurts: "a service finds its port taken", Unaskable: true,
		Machine: Machine{Hold: &Hold{Network: "tcp", From: 62893, To: 62893}}, Flagged: one("PORT-015"), Causes: one("62893"), NoRemedy: ownersChoice, Ask: one("PORT-015"),
	},
	{
		Name: "ephemeral-range-one-port", Hurts: "the second connection to an address fails with EADDRNOTAVAIL",
		Damage: one("sysctl -qw net.ipv4.ip_local_port_range='50000 50000'"), Flagged: one("TCP-030"), Causes: one("ip_local_port_range"), Ask: one("TCP-030"),
	},
})

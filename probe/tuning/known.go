package tuning

// known are the settings that are looked at. Those without Does are read and
// compared, and no value of theirs is known to hurt loopback.
var known = []Setting{
	// Buffers and their autotuning.
	{
		Name: "net.core.rmem_default", Default: "212992", hurts: below(65536),
		Does: "the receive buffer of a socket overflows after few datagrams, and the rest is lost",
		Note: "sockets that are open keep the buffer they have",
	},
	{
		Name: "net.core.wmem_default", Default: "212992", hurts: below(65536),
		Does: "a socket has room for few datagrams to be sent, and senders wait",
		Note: "sockets that are open keep the buffer they have",
	},
	{Name: "net.core.rmem_max"},
	{Name: "net.core.wmem_max"},
	{
		Name: "net.core.optmem_max", hurts: below(16384),
		Does: "sending without copying (MSG_ZEROCOPY), and long filters and ancillary messages, fail with ENOBUFS",
	},
	{
		Name: "net.ipv4.tcp_rmem", Default: "4096 131072 6291456", hurts: mostBelow(65536),
		Does: "a receiver takes a few kilobytes at a time, and the sender waits for every one",
		Note: "connections that stand keep the buffers they have",
	},
	{
		Name: "net.ipv4.tcp_wmem", Default: "4096 16384 4194304", hurts: mostBelow(65536),
		Does: "a sender has a few kilobytes under way and then waits for their confirmation",
		Note: "connections that stand keep the buffers they have",
	},
	{
		Name: "net.ipv4.tcp_moderate_rcvbuf", Default: "1", hurts: is("0"),
		Does: "receive buffers never grow beyond their first size, and with them the window",
	},
	{Name: "net.ipv4.tcp_notsent_lowat"},
	{Name: "net.ipv4.udp_rmem_min"},
	{Name: "net.ipv4.udp_wmem_min"},

	// Queues: of connections to be accepted and of half-open ones.
	{
		Name: "net.core.somaxconn", Default: "4096", hurts: below(64),
		Does: "every listener's queue is cut to that length, whatever backlog it asks for, and connections beyond it time out",
	},
	{
		Name: "net.ipv4.tcp_max_syn_backlog", Default: "128", hurts: below(64),
		Does: "few half-open connections are kept, and a handful of unanswered SYNs keeps other clients out",
	},
	{
		Name: "net.ipv4.tcp_syncookies", Default: "1", hurts: is("0"),
		Does: "a listener whose queue of half-open connections is full lets nobody in",
	},
	{
		Name: "net.ipv4.tcp_abort_on_overflow", Default: "0", hurts: not("0"),
		Does: "clients are reset where a busy server would have answered a moment later",
	},

	// Ports and their reuse.
	{
		Name: "net.ipv4.ip_local_port_range", Default: "32768 60999", hurts: narrow(2000),
		Does: "few connections to one address and port can stand at a time",
	},
	{
		Name: "net.ipv4.ip_local_reserved_ports", hurts: reserves(2000),
		Does: "hardly any ephemeral port is left for connect and bind to choose",
	},
	{
		Name: "net.ipv4.ip_unprivileged_port_start", Default: "1024", hurts: above(1024),
		Does: "only root, or CAP_NET_BIND_SERVICE, may bind ports below it",
	},
	{Name: "net.ipv4.ip_nonlocal_bind", Default: "0"},
	{Name: "net.ipv4.ip_autobind_reuse", Default: "0"},
	{
		Name: "net.ipv4.tcp_tw_reuse", Default: "2", hurts: is("0"),
		Does: "ports in TIME_WAIT are not used again, so that clients which make many short connections run out of them",
	},
	{
		Name: "net.ipv4.tcp_max_tw_buckets", hurts: below(64),
		Does: "connections that ended are forgotten at once, so that their late segments reach the next connection",
	},

	// Timeouts, retries, keepalive.
	{Name: "net.ipv4.tcp_fin_timeout", Default: "60"},
	{
		Name: "net.ipv4.tcp_syn_retries", Default: "6", hurts: below(2),
		Does: "a connection fails when two SYNs in a row are lost or not taken",
	},
	{
		Name: "net.ipv4.tcp_synack_retries", Default: "5", hurts: below(1),
		Does: "a lost SYN-ACK is never sent again",
	},
	{Name: "net.ipv4.tcp_retries1", Default: "3"},
	{
		Name: "net.ipv4.tcp_retries2", Default: "15", hurts: below(4),
		Does: "connections are given up when a peer stalls for a second or two",
	},
	{Name: "net.ipv4.tcp_orphan_retries", Default: "0"},
	{Name: "net.ipv4.tcp_keepalive_time", Default: "7200"},
	{Name: "net.ipv4.tcp_keepalive_intvl", Default: "75"},
	{Name: "net.ipv4.tcp_keepalive_probes", Default: "9"},

	// TCP options and congestion control.
	{
		Name: "net.ipv4.tcp_sack", Default: "1", hurts: is("0"),
		Does: "one lost segment costs the sending of all that follow it",
	},
	{
		Name: "net.ipv4.tcp_timestamps", Default: "1", hurts: is("0"),
		Does: "ports in TIME_WAIT cannot be used again, so that busy clients run out of them, and round trips are measured badly",
	},
	{
		Name: "net.ipv4.tcp_window_scaling", Default: "1", hurts: is("0"),
		Does: "no more than 64 KiB of a connection are under way",
	},
	{Name: "net.ipv4.tcp_ecn", Default: "2"},
	{Name: "net.ipv4.tcp_fastopen", Default: "1"},
	{Name: "net.ipv4.tcp_autocorking", Default: "1"},
	{Name: "net.ipv4.tcp_mtu_probing", Default: "0"},
	{Name: "net.ipv4.tcp_rfc1337", Default: "0"},
	{Name: "net.ipv4.tcp_slow_start_after_idle", Default: "1"},
	{Name: "net.ipv4.tcp_congestion_control"},

	// ICMP and fragments.
	{
		Name: "net.ipv4.icmp_echo_ignore_all", Default: "0", hurts: not("0"),
		Does: "the kernel answers no ICMP echo request over IPv4",
	},
	{Name: "net.ipv4.icmp_ratelimit", Default: "1000"},
	{Name: "net.ipv4.icmp_ratemask", Default: "6168"},
	{Name: "net.ipv4.ping_group_range"},
	{
		Name: "net.ipv6.icmp.echo_ignore_all", Default: "0", hurts: not("0"),
		Does: "the kernel answers no ICMPv6 echo request",
	},
	{
		Name: "net.ipv4.ipfrag_high_thresh", Default: "4194304", hurts: below(131072), Along: []string{"net.ipv4.ipfrag_low_thresh"},
		Does: "datagrams that go in fragments over IPv4 are never put together",
	},
	{Name: "net.ipv4.ipfrag_low_thresh", Default: "3145728"},
	{
		Name: "net.ipv4.ipfrag_time", Default: "30", hurts: below(1),
		Does: "fragments are thrown away before the others of their datagram are there",
	},
	{
		Name: "net.ipv6.ip6frag_high_thresh", Default: "4194304", hurts: below(131072), Along: []string{"net.ipv6.ip6frag_low_thresh"},
		Does: "datagrams that go in fragments over IPv6 are never put together",
	},
	{Name: "net.ipv6.ip6frag_low_thresh", Default: "3145728"},

	// Forwarding and local routing.
	{
		Name: "net.ipv4.ip_default_ttl", Default: "64", hurts: below(16),
		Does: "nothing that is sent gets past the first routers",
	},
	{Name: "net.ipv4.ip_forward"},
	{Name: "net.ipv4.conf.all.rp_filter"},
	{
		Name: "net.ipv4.conf.all.route_localnet", Default: "0", hurts: not("0"),
		Does: "neighbours on the network may reach what listens on 127.0.0.1 alone (CVE-2020-8558)",
		Note: "where a load balancer or container network needs it, keep it and drop what comes from outside: `nft add rule inet FILTER PREROUTING iifname != lo ip daddr 127.0.0.0/8 drop`",
	},
	{Name: "net.ipv4.conf.all.accept_local", Default: "0"},

	// IPv6.
	{
		Name: "net.ipv6.bindv6only", Default: "0", hurts: not("0"),
		Does: "a socket bound to [::] takes no IPv4 connections unless it asks for them with IPV6_V6ONLY=0",
	},
	{Name: "net.ipv6.conf.all.disable_ipv6", Default: "0"},
	{
		Name: "net.ipv6.conf.lo.disable_ipv6", Default: "0", hurts: beside(not("0"), "net.ipv6.conf.all.disable_ipv6", "0"),
		Does: "lo has no ::1, while IPv6 is on everywhere else",
	},

	// The connection tracking table.
	{Name: "net.netfilter.nf_conntrack_max"},
	{Name: "net.netfilter.nf_conntrack_tcp_loose", Default: "1"},
	{
		Name: "net.netfilter.nf_conntrack_tcp_timeout_established", Default: "432000", hurts: below(300),
		Does: "connections that are quiet for minutes are forgotten by the firewall and then dropped",
	},
	{
		Name: "net.netfilter.nf_conntrack_udp_timeout", Default: "30", hurts: below(5),
		Does: "an answer that takes longer is no answer to the firewall any more, and dropped",
	},
	{
		Name: "net.netfilter.nf_conntrack_tcp_timeout_syn_recv", Default: "60", hurts: below(5),
		Does: "a handshake that has to be repeated is forgotten by the firewall before it is through",
	},

	// What else is local.
	{
		Name: "net.unix.max_dgram_qlen", Default: "10", hurts: below(4),
		Does: "a program that sends datagrams to a busy one over a unix socket, as to syslog or systemd, waits or is refused from the second on",
		Note: "sockets that are open keep the length they have",
	},
}

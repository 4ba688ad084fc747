package faults

import "slices"

// later came after the others: faults that nothing was made for, to see what the
// general search makes of what it does not know.
var later = slices.Concat(
	family("interface", []Fault{
		{
			Name: "lo-mtu-9000", Hurts: "streams cost more processor time, and large datagrams go in fragments",
			Damage: one("ip link set lo mtu 9000"), Flagged: one("ADDR-011"), Causes: one("mtu"),
		},
		{
			Name: "lo-gso-size", Hurts: "streams cost many times the processor time",
			Damage: one("ip link set lo gso_max_size 1400"), Flagged: one("CFG-003"), Causes: one("gso"),
		},
		{
			Name: "lo-128-slash-9", Hurts: "half of 127/8 is not there",
			Damage:  []string{"ip address add 127.0.0.1/9 dev lo", "ip address del 127.0.0.1/8 dev lo"},
			Flagged: one("PING-002"), Causes: one(`127\.0\.0\.[01]/[89]`), Ask: one("ping"),
		},
	}),
	family("routing", []Fault{
		{
			Name: "rule-unreachable-from", Hurts: "what 127.0.0.1 sends is refused by policy routing", World: one(localMoved),
			Damage: one("ip rule add pref 50 from 127.0.0.1 unreachable"), Flagged: one("PING-001"), Causes: one("unreachable"), Ask: one("PING-001"),
		},
		{
			Name: "rule-for-udp", Hurts: "no datagram is sent", World: one(localMoved),
			Damage: one("ip rule add pref 50 ipproto udp prohibit"), Flagged: one("UDP-001"), Causes: one("ipproto udp|prohibit"), Ask: one("UDP-001"),
		},
		{
			Name: "route-throws-127.0.0.1", Hurts: "127.0.0.1 leaves by the default route", World: one(defaultRoute),
			Damage:  []string{"ip route del local 127.0.0.1 dev lo table local", "ip route add throw 127.0.0.1 table local"},
			Flagged: one("PING-001"), Causes: one("throw"), Ask: one("PING-001"),
		},
		{
			Name: "route-unreachable-::1", Hurts: "::1 is refused by the local table",
			Damage: one("ip -6 route add unreachable ::1 table local metric 1 && ip -6 route del local ::1 dev lo table local"), Flagged: one("PING-018"), Causes: one("unreachable|table local"), Ask: one("PING-018"),
		},
		{
			Name: "route-with-an-advmss", Hurts: "peers send small segments",
			Damage:  one("ip route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 advmss 200"),
			Flagged: one("TCP-083"), Causes: one("advmss"),
		},
		{
			Name: "route-with-a-window", Hurts: "streams crawl, at most 1,000 bytes under way",
			Damage:  one("ip route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 window 1000"),
			Flagged: one("TCP-083"), Causes: one("window"),
		},
		{
			Name: "route-in-a-table-of-its-own", Hurts: "127/8 goes by a table that a rule puts before the local one", World: []string{defaultRoute, localMoved, "ip route add 127.0.0.0/8 via 192.0.2.9 table 77"},
			Damage:  one("ip rule add pref 40 lookup 77"),
			Flagged: one("PING-001"), Causes: one("table 77|lookup 77"), Ask: one("PING-001"),
		},
	}),
	family("selective drops", []Fault{
		{
			Name: "drop-by-a-map", Hurts: "one service times out", World: one(firewall),
			Damage: rule("tcp dport vmap { 22 : accept, 62893 : drop }"), Flagged: one("PORT-015"), Causes: one("62893.*drop"), Ask: one("PORT-015"),
		},
		{
			Name: "drop-by-a-set", Hurts: "one address is not reached", World: []string{firewall, "nft 'add set inet lab bad { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 127.0.0.0/8 }; }'"},
			Damage:  rule("ip saddr @bad drop"),
			Flagged: one("PING-001"), Causes: one("@bad"), Ask: one("PING-001"),
		},
		{
			Name: "drop-in-a-jump", Hurts: "no datagram arrives", World: []string{firewall, "nft 'add chain inet lab deep; add chain inet lab deeper; add rule inet lab deep jump deeper; add rule inet lab input iifname lo goto deep'"},
			Damage:  one("nft 'add rule inet lab deeper meta l4proto udp drop'"),
			Flagged: one("UDP-001"), Causes: one("udp drop|17 drop"), Ask: one("UDP-001"),
		},
		{
			Name: "drop-in-prerouting", Hurts: "no datagram arrives",
			World:   one("nft 'add table ip early; add chain ip early pre { type filter hook prerouting priority raw; }'"),
			Damage:  one("nft 'add rule ip early pre udp length > 0 drop'"),
			Flagged: one("UDP-001"), Causes: one("udp length.*drop"), Ask: one("UDP-001"),
		},
		{
			Name: "drop-in-postrouting", Hurts: "no connection is made",
			World:   one("nft 'add table ip late; add chain ip late post { type filter hook postrouting priority 300; }'"),
			Damage:  one("nft 'add rule ip late post oifname lo tcp flags syn drop'"),
			Flagged: one("TCP-031"), Causes: one("syn.*drop"), Ask: one("TCP-031"),
		},
		{
			Name: "drop-untracked", Hurts: "nothing of ICMP is answered", World: []string{firewall, "nft 'add chain inet lab raw { type filter hook output priority -300; }; add rule inet lab raw ip protocol icmp notrack'"},
			Damage:  rule("ct state untracked,invalid drop"),
			Flagged: one("PING-001"), Causes: one("ct state.*drop|notrack"), Ask: one("PING-001"),
		},
		{
			Name: "drop-high-source-ports", Hurts: "clients with some ephemeral ports are not answered", World: one(firewall),
			Damage: rule("tcp sport 32768-60999 drop"), Flagged: one("TCP-031"), Causes: one("sport.*drop"), Ask: one("TCP-031"),
		},
		{
			Name: "drop-by-ttl", Hurts: "what is sent with a short time to live is lost", World: one(firewall),
			Damage: rule("ip ttl < 65 ip protocol icmp drop"), Flagged: one("PING-001"), Causes: one("ttl.*drop"), Ask: one("PING-001"),
		},
		{
			Name: "reject-as-prohibited", Hurts: "no datagram arrives, and senders are told of an unreachable host", World: one(firewall),
			Damage: rule("meta l4proto udp reject with icmpx type admin-prohibited"), Flagged: one("UDP-001"), Causes: one("reject"), Ask: one("UDP-001"),
		},
		{
			Name: "drop-in-raw-by-iptables-legacy", Hurts: "no connection is made, and nft shows no rule",
			World:  one("iptables-legacy -t raw -A PREROUTING -p tcp --dport 5999 -j ACCEPT"),
			Damage: one("iptables-legacy -t raw -A PREROUTING -i lo -p tcp -j DROP"), Flagged: one("TCP-031"), Causes: one("DROP"), Ask: one("TCP-031"), Needs: one("iptables-legacy"),
		},
		{
			Name: "drop-in-mangle-by-ip6tables-legacy", Hurts: "localhost stalls until the client tries 127.0.0.1",
			World:  one("ip6tables-legacy -t mangle -A OUTPUT -p tcp --dport 5999 -j ACCEPT"),
			Damage: one("ip6tables-legacy -t mangle -A OUTPUT -o lo -j DROP"), Flagged: one("PING-018"), Causes: one("DROP"), Ask: one("PING-018"), Needs: one("ip6tables-legacy"),
		},
		{
			Name: "loss-by-iptables-legacy", Hurts: "one datagram in twenty is lost",
			World:  one("iptables-legacy -A INPUT -p tcp --dport 5999 -j ACCEPT"),
			Damage: one("iptables-legacy -A INPUT -p udp -m statistic --mode random --probability 0.05 -j DROP"), Flagged: one("UDP-010"), Causes: one("statistic|DROP"), Ask: one("UDP-010"), Needs: one("iptables-legacy"),
		},
		{
			Name: "drop-without-handshake", Hurts: "a closed port looks like a machine that is off", World: one(firewall),
			Damage: rule("output: tcp flags rst,ack / rst,ack drop"), Flagged: one("TCP-001"), Causes: one("rst.*drop"), Ask: one("TCP-001"),
		},
	}),
	family("rewriting", []Fault{
		{
			Name: "redirect-by-iptables-legacy", Hurts: "clients of one service reach another, or none",
			World:  one("iptables-legacy -t nat -A OUTPUT -p tcp --dport 5999 -j ACCEPT"),
			Damage: one("iptables-legacy -t nat -A OUTPUT -p tcp --dport 62893 -j REDIRECT --to-ports 9"), Flagged: one("PORT-015"), Causes: one("REDIRECT"), Ask: one("PORT-015"), Needs: one("iptables-legacy"),
		},
		{
			Name: "hop-limit-set", Hurts: "what checks that a peer is near (GTSM, RFC 5082) refuses it", World: one(firewall),
			Damage: rule("output: ip6 daddr ::1 ip6 hoplimit set 3"), Flagged: one("PING-018"), Causes: one("hoplimit"), Ask: one("PING-018"),
		},
		{
			Name: "destination-rewritten", Hurts: "what is sent to 127.0.0.1 arrives at 127.0.0.2", World: one(nat),
			Damage: one("nft add rule ip labnat output ip daddr 127.0.0.1 meta l4proto udp dnat to 127.0.0.2"), Flagged: one("UDP-*"), Causes: one("dnat"), Ask: one("udp"),
		},
		{
			Name: "masquerade-on-lo", Hurts: "servers see clients come from other ports and addresses", World: one(nat),
			Damage: one("nft add rule ip labnat postrouting oifname lo meta l4proto tcp masquerade to :1024-1050"), Flagged: one("TCP-*"), Causes: one("masquerade"), Ask: []string{"TCP-020", "TCP-029", "TCP-030", "TCP-031"},
		},
	}),
	family("rate and connection limits", []Fault{
		{
			Name: "flood-set", Hurts: "who opens more than ten connections in a second is shut out for a minute", World: []string{firewall, "nft 'add set inet lab flood { type ipv4_addr; flags dynamic; timeout 1m; size 65535; }'"},
			Damage:  rule("tcp flags syn add @flood { ip saddr limit rate over 10/second burst 10 packets } drop"),
			Flagged: one("TCP-029"), Causes: one("flood"), Ask: one("TCP-029"),
		},
		{
			Name: "byte-rate", Hurts: "everything on localhost shares 1 Mbit/s", World: one(firewall),
			Damage: rule("meta l4proto tcp limit rate over 125 kbytes/second drop"), Flagged: one("TCP-031"), Causes: one("limit rate"), Ask: one("TCP-031"),
		},
		{
			Name: "connlimit-by-iptables-legacy", Hurts: "the 21st connection is refused",
			World:  one("iptables-legacy -A INPUT -p tcp --dport 5999 -j ACCEPT"),
			Damage: one("iptables-legacy -A INPUT -p tcp --syn -m connlimit --connlimit-above 20 -j REJECT --reject-with tcp-reset"), Flagged: one("TCP-029"), Causes: one("connlimit|REJECT"), Ask: one("TCP-029"), Needs: one("iptables-legacy"),
		},
	}),
	family("queueing", []Fault{
		{
			Name: "pfifo-of-three", Hurts: "what several processors send at once is dropped",
			Damage: one("tc qdisc add dev lo root pfifo limit 3"), Flagged: one("ADDR-011"), Causes: one("pfifo"), Ask: one("ADDR-011"),
		},
	}),
	family("settings", []Fault{
		setting("net.ipv4.tcp_moderate_rcvbuf", "0", "receive buffers stay small"),
		setting("net.ipv4.ipfrag_time", "0", "datagrams that go in fragments never arrive"),
		conntracked(setting("net.netfilter.nf_conntrack_tcp_timeout_established", "5", "connections that are quiet for seconds are forgotten by the firewall")),
		conntracked(setting("net.netfilter.nf_conntrack_udp_timeout", "1", "answers that take a second are dropped")),
		setting("net.unix.max_dgram_qlen", "1", "the second datagram to a unix socket waits"),
	}),
	family("names", []Fault{
		{
			Name: "hosts-misspelt", Beyond: "The remedy adds the lines that are missing, and leaves the misspelt ones to whoever wrote them.",
			Hurts:  "localhost is asked of a DNS server",
			Damage: one("printf '127.0.0.1 locahost\\n::1 locahost\\n' > /etc/hosts"), Flagged: one("NAME-001"), Unaskable: true, Causes: one("/etc/hosts"),
		},
		{
			Name: "hosts-commented", Hurts: "localhost is asked of a DNS server",
			Damage: one("sed -i 's/^/#/' /etc/hosts"), Flagged: one("NAME-001"), Unaskable: true, Causes: one("/etc/hosts"),
		},
		{
			Name: "nsswitch-dns-first", Hurts: "every look-up of localhost asks a DNS server first",
			Damage: one("sed -i 's/^hosts:.*/hosts: dns files/' /etc/nsswitch.conf"), Flagged: one("NAME-*"), Unaskable: true, Causes: one("nsswitch"),
		},
	}),
	family("capabilities and seccomp", []Fault{
		{
			Name: "seccomp-setsockopt", Hurts: "no option can be set, SO_REUSEADDR among them", NoRemedy: filterStays,
			Process: Process{Refuse: one("setsockopt")}, Flagged: one("TCP-056"), Causes: one("seccomp"), Ask: one("TCP-056"),
		},
		{
			Name: "seccomp-sendmsg", Hurts: "datagrams cannot be sent with ancillary data", NoRemedy: filterStays,
			Process: Process{Refuse: []string{"sendmsg", "sendto"}}, Flagged: one("UDP-001"), Causes: one("seccomp"), Ask: one("UDP-001"),
		},
		{
			Name: "seccomp-accept", Hurts: "no server can take a connection", NoRemedy: filterStays,
			Process: Process{Refuse: []string{"accept4", "accept"}}, Flagged: one("TCP-031"), Causes: one("seccomp"), Ask: one("TCP-031"),
		},
	}),
	family("control group programs", []Fault{
		cgroup("bind6", "no server can be started on IPv6", "ADDR-004"),
		cgroup("connect6", "connect to ::1 fails with EPERM", "ADDR-004"),
		cgroup("sock_create", "no socket can be made", "TCP-031"),
		cgroup("ingress", "nothing that is sent arrives", "UDP-001"),
		cgroup("setsockopt", "no option can be set", "TCP-056"),
	}),
)

// conntracked has rules that use connection tracking stand before the fault.
func conntracked(f Fault) Fault {
	f.World = []string{firewall, "nft 'add rule inet lab input ct state established accept'"}
	return f
}

package faults

var drops = family("selective drops", []Fault{
	{
		Name: "drop-tcp-port", Hurts: "one service times out", World: one(firewall),
		Damage: rule("tcp dport 62893 drop"), Flagged: one("PORT-015"), Causes: one("62893.*drop"), Ask: one("PORT-015"),
	},
	{
		Name: "drop-udp-port", Hurts: "one service gets no datagrams", World: one(firewall),
		Damage: rule("udp dport 62893 drop"), Flagged: one("PORT-015"), Causes: one("62893.*drop"), Ask: one("PORT-015"),
	},
	{
		Name: "reject-tcp-port", Hurts: "one service is refused although it listens", World: one(firewall),
		Damage: rule("tcp dport 62893 reject with tcp reset"), Flagged: one("PORT-015"), Causes: one("62893.*reject"), Ask: one("PORT-015"),
	},
	{
		Name: "drop-replies-of-a-port", Hurts: "one service takes requests, and its answers vanish", World: one(firewall),
		Damage: rule("tcp sport 62893 drop"), Flagged: one("PORT-015"), Causes: one("62893.*drop"), Ask: one("PORT-015"),
	},
	{
		Name: "drop-range", Hurts: "ten thousand ports time out", World: one(firewall),
		Damage: rule("tcp dport 20000-30000 drop"), Flagged: one("PORT-014"), Causes: one("20000-30000.*drop"), Ask: one("PORT-014"),
	},
	{
		Name: "drop-syn", Hurts: "no connection is made any more, and those that are go on", World: one(firewall),
		Damage: rule("tcp flags & (syn|ack) == syn drop"), Flagged: one("TCP-001"), Causes: one("syn.*drop"), Ask: one("TCP-001"),
	},
	{
		Name: "drop-syn-ack", Hurts: "connections are asked for and never confirmed", World: one(firewall),
		Damage: rule("tcp flags & (syn|ack) == (syn|ack) drop"), Flagged: one("TCP-031"), Causes: one("syn.*drop"), Ask: one("TCP-031"),
	},
	{
		Name: "drop-rst", Hurts: "a closed port looks like a machine that is off", World: one(firewall),
		Damage: rule("tcp flags & rst == rst drop"), Flagged: one("TCP-001"), Causes: one("rst.*drop"), Ask: one("TCP-001"),
	},
	{
		Name: "drop-fin", Hurts: "the end of a connection is never told", World: one(firewall),
		Damage: rule("tcp flags & fin == fin drop"), Flagged: one("TCP-051"), Causes: one("fin.*drop"), Ask: one("TCP-051"),
	},
	{
		Name: "drop-pure-ack", Hurts: "data arrives, is not confirmed, and is sent again and again", World: one(firewall),
		Damage: rule("tcp flags & (fin|syn|rst|psh|ack) == ack meta length 52 drop"), Flagged: one("TCP-*"), Causes: one("ack.*drop"), Ask: []string{"TCP-031", "TCP-051"},
	},
	{
		Name: "drop-icmp-errors", Hurts: "a closed UDP port is silent, so that clients wait", World: one(firewall),
		Damage: rule("icmp type destination-unreachable drop"), Flagged: one("UDP-004"), Causes: one("icmp.*drop"), Ask: []string{"UDP-004", "PING-013"},
	},
	{
		Name: "drop-icmpv6-errors", Hurts: "a closed UDP port of ::1 is silent, so that clients wait", World: one(firewall),
		Damage: rule("icmpv6 type destination-unreachable drop"), Flagged: one("PING-014"), Causes: one("icmpv6.*drop"), Ask: []string{"UDP-004", "PING-014"},
	},
	{
		Name: "drop-echo", Hurts: "health checks by ping fail", World: one(firewall),
		Damage: rule("icmp type echo-request drop"), Flagged: one("PING-001"), Causes: one("echo-request.*drop"), Ask: one("PING-001"),
	},
	{
		Name: "drop-echo-reply", Hurts: "health checks by ping fail", World: one(firewall),
		Damage: rule("icmp type echo-reply drop"), Flagged: one("PING-001"), Causes: one("echo-reply.*drop"), Ask: one("PING-001"),
	},
	{
		Name: "drop-fragments", Hurts: "datagrams larger than the MTU never arrive", World: one(firewall),
		Damage: rule("exthdr frag exists drop"), Flagged: one("UDP-002"), Causes: one("frag.*drop"), Ask: one("UDP-002"),
	},
	{
		Name: "drop-large", Hurts: "small requests work and large ones hang", World: one(firewall),
		Damage: rule("meta length > 9000 drop"), Flagged: one("UDP-002"), Causes: one("length.*drop"), Ask: []string{"UDP-002", "PING-006"},
	},
	{
		Name: "drop-ipv6", Hurts: "localhost stalls until the client tries 127.0.0.1", World: one(firewall),
		Damage: rule("ip6 daddr ::1 drop"), Flagged: one("PING-018"), Causes: one("::1 drop"), Ask: one("PING-018"),
	},
	{
		Name: "drop-udp", Hurts: "no datagram arrives", World: one(firewall),
		Damage: rule("meta l4proto udp drop"), Flagged: one("UDP-001"), Causes: one("udp drop|17 drop"), Ask: one("UDP-001"),
	},
	{
		Name: "drop-udp-on-its-way-out", Hurts: "sending a datagram fails with EPERM", World: one(firewall),
		Damage: rule("output: meta l4proto udp drop"), Flagged: one("UDP-001"), Causes: one("udp drop|17 drop"), Ask: one("UDP-001"),
	},
	{
		Name: "drop-an-address", Hurts: "what is served on another address of 127/8 times out", World: one(firewall),
		Damage: rule("ip daddr 127.255.255.254 drop"), Flagged: one("PING-002"), Causes: one(`127\.255\.255\.254.*drop`), Ask: one("ping"),
	},
	{
		Name: "drop-of-a-user", Hurts: "one user's services cannot send", World: one(firewall),
		Damage: rule("output: meta skuid 0 meta l4proto tcp drop"), Flagged: one("TCP-001"), Causes: one("skuid.*drop"), Ask: one("TCP-001"),
	},
	{
		Name: "drop-new", Hurts: "no connection is made any more, and those that are go on", World: one(firewall),
		Damage: rule("meta l4proto tcp ct state new drop"), Flagged: one("TCP-001"), Causes: one("new.*drop"), Ask: one("TCP-001"),
	},
	{
		Name: "policy-drop", Beyond: "The remedy lets loopback pass before the policy, which may be meant for everything else; the list asks that the policy itself be taken back.",
		Hurts: "nothing on localhost is reached", World: one(firewall),
		Damage: one("nft 'chain inet lab input { policy drop; }'"), Flagged: one("PING-001"), Causes: one("policy.*drop"), Ask: one("PING-001"),
	},
	{
		Name: "drop-by-iptables-legacy", Hurts: "no datagram arrives, and nft shows no rule", World: one("iptables-legacy -A INPUT -p tcp --dport 5999 -j ACCEPT"),
		Damage: one("iptables-legacy -A INPUT -p udp -j DROP"), Flagged: one("UDP-001"), Causes: one("-p udp -j DROP"), Ask: one("UDP-001"), Needs: one("iptables-legacy"),
	},
	{
		Name: "drop-by-iptables-nft", Hurts: "no datagram arrives", World: one("iptables-nft -A INPUT -p tcp --dport 5999 -j ACCEPT"),
		Damage: one("iptables-nft -A INPUT -p udp -j DROP"), Flagged: one("UDP-001"), Causes: one("udp.*drop"), Ask: one("UDP-001"), Needs: one("iptables-nft"),
	},
	{
		Name: "drop-at-ingress", Hurts: "no datagram arrives, and no rule of the filter tables says so",
		World:  one("nft -f - <<'END'\ntable netdev lab {\n chain in { type filter hook ingress device lo priority 0; tcp dport 5999 accept; }\n}\nEND"),
		Damage: one("nft 'add rule netdev lab in meta l4proto udp drop'"), Flagged: one("UDP-001"), Causes: one("netdev.*lab|udp drop"), Ask: one("UDP-001"),
	},
})

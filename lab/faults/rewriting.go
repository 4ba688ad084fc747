package faults

var rewriting = family("rewriting", []Fault{
	{
		Name: "redirect-tcp-port", Hurts: "clients of one service reach another, or none", World: one(nat),
		Damage: one("nft add rule ip labnat output tcp dport 62893 redirect to :9"), Flagged: one("PORT-015"), Causes: one("redirect"), Ask: one("PORT-015"),
	},
	{
		Name: "dnat-udp-port", Hurts: "datagrams for one service go to another address", World: one(nat),
		Damage: one("nft add rule ip labnat output udp dport 62893 dnat to 127.0.0.2:9"), Flagged: one("PORT-015"), Causes: one("dnat"), Ask: one("PORT-015"),
	},
	{
		Name: "snat-loopback", Hurts: "servers see clients come from another address", World: one(nat),
		Damage: one("nft add rule ip labnat postrouting ip saddr 127.0.0.1 snat to 127.0.0.99"), Flagged: one("ADDR-012"), Causes: one("snat"),
	},
	{
		Name: "ttl-set", Hurts: "what checks that a peer is near (GTSM, RFC 5082) refuses it", World: one(firewall),
		Damage: rule("ip daddr 127.0.0.0/8 ip ttl set 5"), Flagged: one("PING-001"), Causes: one("ttl"), Ask: one("PING-001"),
	},
	{
		Name: "mss-clamped", Hurts: "each segment carries 100 bytes", World: one(firewall),
		Damage: rule("output: tcp flags syn tcp option maxseg size set 100"), Flagged: one("TCP-083"), Causes: one("maxseg"),
	},
	{
		Name: "window-scaling-stripped", Hurts: "no more than 64 KiB are under way", World: one(firewall),
		Damage: rule("output: tcp flags syn reset tcp option window"), Flagged: one("TCP-083"), Causes: one("option window"),
	},
	{
		Name: "timestamps-stripped", Hurts: "round trips are measured badly and ports in TIME_WAIT cannot be used again", World: one(firewall),
		Damage: rule("output: tcp flags syn reset tcp option timestamp"), Flagged: one("TCP-079"), Causes: one("option timestamp"),
	},
	{
		Name: "sack-stripped", Hurts: "one lost segment costs all that follow it", World: one(firewall),
		Damage: rule("output: tcp flags syn reset tcp option sack-perm"), Flagged: one("TCP-079"), Causes: one("sack"),
	},
	{
		Name: "ecn-marked", Hurts: "senders that use ECN slow down for no reason", World: []string{firewall, "sysctl -qw net.ipv4.tcp_ecn=1"},
		Damage: rule("output: ip ecn != not-ect ip ecn set ce"), Flagged: one("TCP-*"), Causes: one("ecn"), Ask: []string{"TCP-030", "TCP-031", "TCP-084"},
	},
	{
		Name: "dscp-set", Hurts: "traffic classes are not what services ask for", World: one(firewall),
		Damage: rule("output: ip protocol icmp ip dscp set cs1"), Flagged: one("PING-013"), Causes: one("dscp"), Ask: one("PING-013"),
	},
	{
		Name: "window-shrunk", Hurts: "streams crawl, at most 512 bytes under way", World: one(firewall),
		Damage: rule("output: tcp flags & syn == 0 tcp window set 8"), Flagged: one("TCP-*"), Causes: one("window"), Ask: []string{"TCP-031"},
	},
})

var rates = family("rate and connection limits", []Fault{
	{
		Name: "syn-rate", Hurts: "more than 20 connections in a second time out", World: one(firewall),
		Damage: rule("tcp flags & (syn|ack) == syn limit rate over 20/second burst 5 packets drop"), Flagged: one("TCP-029"), Causes: one("limit rate"), Ask: one("TCP-029"),
	},
	{
		Name: "udp-rate", Hurts: "more than 500 datagrams in a second are lost", World: one(firewall),
		Damage: rule("meta l4proto udp limit rate over 500/second burst 5 packets drop"), Flagged: one("UDP-010"), Causes: one("limit rate"), Ask: one("UDP-010"),
	},
	{
		Name: "icmp-rate", Hurts: "frequent health checks by ping fail now and then", World: one(firewall),
		Damage: rule("icmp type echo-request limit rate over 100/second burst 5 packets drop"), Flagged: one("PING-019"), Causes: one("limit rate"), Ask: one("PING-019"),
	},
	{
		Name: "connection-limit", Hurts: "the 51st connection times out", World: one(firewall),
		Damage: rule("tcp flags & (syn|ack) == syn ct count over 50 drop"), Flagged: one("TCP-029"), Causes: one("ct count"), Ask: one("TCP-029"),
	},
	{
		Name: "quota", Hurts: "after one megabyte nothing arrives any more", World: one(firewall),
		Damage: rule("meta l4proto tcp quota over 1 mbytes drop"), Flagged: one("TCP-031"), Causes: one("quota"), Ask: one("TCP-031"),
	},
	{
		Name: "conntrack-full", Hurts: "new connections are dropped until old ones are forgotten", World: []string{nat, "sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600"},
		Machine: Machine{Conntrack: true}, Flagged: one("TCP-*"), Causes: one("conntrack"), Ask: []string{"TCP-001", "TCP-031"},
		NoRemedy: "the room for it is the machine's, and which entries to forget is its owner's choice",
	},
})

var queueing = family("queueing", []Fault{
	{
		Name: "tbf-8mbit", Hurts: "everything on localhost shares 8 Mbit/s",
		Damage: one("tc qdisc add dev lo root tbf rate 8mbit burst 80k latency 50ms"), Flagged: one("ADDR-011"), Causes: one("tbf"), Ask: one("addressing"),
	},
	{
		Name: "htb-1mbit", Hurts: "everything on localhost shares 1 Mbit/s",
		Damage:  []string{"tc qdisc add dev lo root handle 1: htb default 1", "tc class add dev lo parent 1: classid 1:1 htb rate 1mbit burst 70k"},
		Flagged: one("ADDR-011"), Causes: one("htb"), Ask: one("ADDR-011"),
	},
	{
		Name: "pfifo-of-one", Hurts: "what several processors send at once is dropped",
		Damage: one("tc qdisc add dev lo root pfifo limit 1"), Flagged: one("ADDR-011"), Causes: one("pfifo"), Ask: one("ADDR-011"),
	},
})

package faults

var interfaces = family("interface", []Fault{
	{
		Name: "lo-down", Hurts: "nothing on localhost is reached",
		Damage: one("ip link set lo down"), Flagged: one("PING-001"), Causes: one("lo-down"), Ask: one("PING-001"),
	},
	{
		Name: "lo-down-readdressed", Hurts: "packets to an address that is there vanish",
		Damage: []string{"ip link set lo down", "ip address replace 127.0.0.1/8 dev lo"}, Flagged: one("PING-001"), Causes: one("lo-down"), Ask: one("PING-001"),
	},
	{
		Name: "lo-mtu-1280", Hurts: "every segment is fifty times smaller than it could be, and large datagrams go in fragments",
		Damage: one("ip link set lo mtu 1280"), Flagged: one("ADDR-011"), Causes: one("mtu"),
	},
	{
		Name: "lo-mtu-600", Hurts: "IPv6 is gone from loopback, and all goes in small pieces",
		Damage: one("ip link set lo mtu 600"), Flagged: one("ADDR-011"), Causes: one("mtu"), Ask: one("ADDR-011"),
	},
	{
		Name: "lo-gso-one-segment", Hurts: "streams cost many times the processor time",
		Damage: one("ip link set lo gso_max_segs 1"), Flagged: one("CFG-003"), Causes: one("gso"),
	},
	{
		Name: "lo-without-127.0.0.1", Hurts: "what binds or connects to 127.0.0.1 fails",
		Damage: one("ip address del 127.0.0.1/8 dev lo"), Flagged: one("PING-001"), Causes: one(`lo-without-127\.0\.0\.1`), Ask: one("ping"),
	},
	{
		Name: "lo-prefix-32", Hurts: "127.0.0.2, 127.0.0.53 and the rest of 127/8 are not there",
		Damage:  []string{"ip address add 127.0.0.1/32 dev lo", "ip address del 127.0.0.1/8 dev lo"},
		Flagged: one("PING-002"), Causes: one(`127\.0\.0\.[01]/8`), Ask: one("ping"),
	},
	{
		Name: "lo-without-::1", Hurts: "what tries ::1 first, as localhost is mostly resolved, fails or stalls",
		Damage: one("ip -6 address del ::1/128 dev lo"), Flagged: one("PING-018"), Causes: one("lo-without-::1"), Ask: one("ping"),
	},
	{
		Name: "lo-without-::1-by-setting", Hurts: "::1 is gone from lo while IPv6 is on everywhere else",
		Damage: one("sysctl -qw net.ipv6.conf.lo.disable_ipv6=1"), Flagged: one("CFG-001"), Causes: one(`conf\.lo\.disable_ipv6`),
	},
})

// family names the family of each.
func family(name string, list []Fault) []Fault {
	for i := range list {
		list[i].Family = name
	}
	return list
}

package faults

// defaultRoute gives the namespace another interface, and a way out over it.
const defaultRoute = `ip link add lab0 type veth peer name lab1
ip link set lab0 addrgenmode none
ip link set lab1 addrgenmode none
ip link set lab1 up
ip link set lab0 up
ip address add 192.0.2.1/24 dev lab0
ip route add default via 192.0.2.9`

// localMoved puts the rule for the local table where others can come first.
const localMoved = "ip rule add pref 100 lookup local && ip rule del pref 0"

var routing = family("routing", []Fault{
	{
		Name: "local-rule-last", Hurts: "loopback leaves by the default route", World: one(defaultRoute),
		Damage: []string{"ip rule add pref 40000 lookup local", "ip rule del pref 0"}, Flagged: one("PING-001"), Causes: one(`\brule\b.*local|local.*\brule\b`), Ask: one("PING-001"),
	},
	{
		Name: "local-rule-missing", Hurts: "no address of the machine is its own",
		Damage: one("ip rule del pref 0"), Flagged: one("PING-001"), Causes: one(`\brule\b.*local|local.*\brule\b`), Ask: one("PING-001"),
	},
	{
		Name: "rule-blackholes-127/8", Hurts: "what is sent to 127/8 is refused by policy routing", World: one(localMoved),
		Damage: one("ip rule add pref 50 to 127.0.0.0/8 blackhole"), Flagged: one("PING-001"), Causes: one("blackhole"), Ask: one("PING-001"),
	},
	{
		Name: "rule-prohibits-::1", Hurts: "what is sent to ::1 is refused by policy routing", World: one("ip -6 rule add pref 100 lookup local && ip -6 rule del pref 0"),
		Damage: one("ip -6 rule add pref 50 to ::1 prohibit"), Flagged: one("PING-018"), Causes: one("prohibit"), Ask: one("PING-018"),
	},
	{
		Name: "rule-for-a-user", Hurts: "one user's services cannot reach localhost, and another's can", World: one(localMoved),
		Damage: one("ip rule add pref 50 uidrange 0-0 to 127.0.0.0/8 prohibit"), Flagged: one("TCP-031"), Causes: one("uidrange"), Ask: one("TCP-031"),
	},
	{
		Name: "rule-for-a-mark", Hurts: "what a firewall marked cannot reach localhost",
		World:  []string{localMoved, firewall, "nft add rule inet lab tag meta l4proto tcp meta mark set 1"},
		Damage: one("ip rule add pref 50 fwmark 1 prohibit"), Flagged: one("TCP-031"), Causes: one("fwmark|mark 0x1"), Ask: one("TCP-031"),
	},
	{
		Name: "rule-for-a-port", Hurts: "one service is refused by policy routing", World: one(localMoved),
		Damage: one("ip rule add pref 50 ipproto tcp dport 62893 prohibit"), Flagged: one("PORT-015"), Causes: one("dport 62893"), Ask: one("PORT-015"),
	},
	{
		Name: "route-blackholes-127.0.0.1", Hurts: "127.0.0.1 is refused by the local table",
		Damage:  []string{"ip route del local 127.0.0.1 dev lo table local", "ip route add blackhole 127.0.0.1 table local"},
		Flagged: one("PING-001"), Causes: one("blackhole"), Ask: one("PING-001"),
	},
	{
		Name: "route-blackholes-127.128/9", Hurts: "half of 127/8 is refused by the local table",
		Damage: one("ip route add blackhole 127.128.0.0/9 table local"), Flagged: one("PING-002"), Causes: one("blackhole"), Ask: one("ping"),
	},
	{
		Name: "local-table-without-127", Hurts: "127.0.0.1 is an address and no destination",
		Damage:  []string{"ip route del local 127.0.0.1 dev lo table local", "ip route del local 127.0.0.0/8 dev lo table local"},
		Flagged: one("PING-001"), Causes: one(`local table|table local`), Ask: one("PING-001"),
	},
	{
		Name: "local-table-without-127/8", Hurts: "127.0.0.2 and the rest of 127/8 are no destination",
		Damage: one("ip route del local 127.0.0.0/8 dev lo table local"), Flagged: one("PING-002"), Causes: one(`local table|table local`), Ask: one("ping"),
	},
	{
		Name: "local-table-without-::1", Hurts: "::1 is an address and no destination",
		Damage: one("ip -6 route del local ::1 dev lo table local"), Flagged: one("PING-018"), Causes: one(`local table|table local`), Ask: one("PING-018"),
	},
	{
		Name: "route-with-an-mtu", Hurts: "segments to 127.0.0.1 are a hundred times smaller than they could be",
		Damage:  one("ip route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 mtu lock 600"),
		Flagged: one("TCP-083"), Causes: one("mtu"),
	},
	{
		Name: "route-with-a-wrong-source", Hurts: "servers see clients come from 127.0.0.9",
		Damage:  one("ip route replace local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.9"),
		Flagged: one("ADDR-012"), Causes: one(`src 127\.0\.0\.9`),
	},
})

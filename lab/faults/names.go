package faults

// wire gives the namespace another address, so that a service can be exposed.
const wire = `ip link add lab0 type veth peer name lab1
ip link set lab1 up
ip link set lab0 up
ip address add 192.0.2.1/24 dev lab0`

var names = family("names", []Fault{
	{
		Name: "hosts-missing", Hurts: "localhost is asked of a DNS server",
		Damage: one("rm /etc/hosts"), Flagged: one("NAME-001"), Unaskable: true, Causes: one("/etc/hosts"),
	},
	{
		Name: "hosts-empty", Hurts: "localhost is asked of a DNS server",
		Damage: one(": > /etc/hosts"), Flagged: one("NAME-001"), Unaskable: true, Causes: one("/etc/hosts"),
	},
	{
		Name: "hosts-localhost-elsewhere", Hurts: "what is meant for localhost leaves the machine",
		Damage: one("printf '192.0.2.7 localhost\\n' > /etc/hosts"), Flagged: one("NAME-001"), Causes: one(`192\.0\.2\.7`),
	},
	{
		Name: "hosts-localhost-and-elsewhere", Hurts: "some connections to localhost leave the machine",
		Damage: one("printf '192.0.2.7 localhost\\n' >> /etc/hosts"), Flagged: one("NAME-001"), Causes: one(`192\.0\.2\.7`),
	},
	{
		Name: "hosts-without-ipv4", Hurts: "services on 127.0.0.1 are not found by the name localhost",
		Damage: one("printf '::1 localhost\\n' > /etc/hosts"), Flagged: one("NAME-*"), Causes: one("/etc/hosts"),
	},
	{
		Name: "hosts-ipv6-without-::1", Beyond: "A machine with IPv6 switched off and ::1 left in /etc/hosts is how distributions come, and connecting to ::1 fails there at once and not after a while: NAME-006 passes on purpose.",
		Hurts:  "the first address that localhost resolves to is one that lo does not have",
		World:  one("for i in all default lo; do sysctl -qw net.ipv6.conf.$i.disable_ipv6=1; done; printf '127.0.0.1 localhost\\n' > /etc/hosts"),
		Damage: one("printf '::1 localhost\\n' >> /etc/hosts"), Flagged: one("NAME-006"), Causes: one("/etc/hosts|lo-without-::1"),
	},
	{
		Name: "hosts-address-not-ours", Hurts: "connections to localhost stall on the first try", World: one("ip address del 127.0.0.1/8 dev lo; ip address add 127.0.0.1/32 dev lo"),
		Damage: one("printf '127.0.0.5 localhost\\n' > /etc/hosts"), Flagged: one("NAME-006"), Causes: one(`127\.0\.0\.5`),
	},
	{
		Name: "nsswitch-without-files", Hurts: "the C library does not look into /etc/hosts",
		Damage: one("sed -i '/^hosts:/d' /etc/nsswitch.conf 2>/dev/null; echo 'hosts: dns' >> /etc/nsswitch.conf"), Flagged: one("NAME-*"), Causes: one("nsswitch"),
	},
	{
		Name: "resolver-silent", Beyond: "While the processors are busy, a server that has not read its question in two seconds cannot be told from one that will: NAME-009 says then that it does not know.",
		Hurts:  "every name that is not in /etc/hosts takes ten seconds to fail",
		Damage: one("printf 'nameserver 127.0.0.77\\n' > /etc/resolv.conf"), Machine: Machine{Hold: &Hold{Network: "udp", From: 53, To: 53}},
		Flagged: one("NAME-*"), Causes: one("resolv.conf"), NoRemedy: "which resolver is the right one is the network's affair",
	},
})

var exposure = family("exposed services", []Fault{
	{
		Name: "redis-exposed", Hurts: "anybody on the network may read and write the data", World: one(wire),
		Damage:  one("redis-server --bind 0.0.0.0 --protected-mode no --save '' --daemonize yes --dir /run >/run/redis.out && timeout 5 sh -c 'until redis-cli ping; do :; done' >/run/redis.out"),
		Flagged: one("PORT-*"), Causes: one("redis"), NoRemedy: "what a service listens on stands in its own configuration", Needs: []string{"redis-server", "redis-cli"},
	},
	{
		Name: "memcached-exposed", Hurts: "anybody on the network may read and write the cache", World: one(wire),
		Damage:  one("memcached -d -u root -l 0.0.0.0 -p 11211 -P /run/memcached.pid && timeout 5 sh -c 'until test -s /run/memcached.pid; do :; done'"),
		Flagged: one("PORT-*"), Causes: one("memcached"), NoRemedy: "what a service listens on stands in its own configuration", Needs: one("memcached"),
	},
})

var pairs = family("two at once", []Fault{
	{
		Name: "no-echo-and-no-udp", Hurts: "a setting and a rule", World: one(firewall),
		Damage:  append(rule("meta l4proto udp drop"), "sysctl -qw net.ipv4.icmp_echo_ignore_all=1"),
		Flagged: []string{"PING-001", "UDP-001"}, Causes: []string{"icmp_echo_ignore_all", "udp drop|17 drop"}, Ask: []string{"PING-001", "UDP-001"},
	},
	{
		Name: "mtu-and-a-port", Hurts: "an interface and a rule", World: one(firewall),
		Damage:  append(rule("tcp dport 62893 drop"), "ip link set lo mtu 1500"),
		Flagged: []string{"ADDR-011", "PORT-015"}, Causes: []string{"mtu", "62893.*drop"}, Ask: []string{"ADDR-011", "PORT-015"},
	},
	{
		Name: "hosts-and-loss", Hurts: "a file and a rule", World: one(firewall),
		Damage:  append(rule("meta l4proto udp numgen random mod 1000 < 20 drop"), "printf '192.0.2.7 localhost\\n' > /etc/hosts"),
		Flagged: []string{"NAME-001", "UDP-010"}, Causes: []string{`192\.0\.2\.7`, "numgen"}, Ask: []string{"NAME-001", "UDP-010"},
	},
	{
		Name: "redirect-and-tbf", Hurts: "a translation and a queue", World: one(nat),
		Damage:  []string{"nft add rule ip labnat output tcp dport 62893 redirect to :9", "tc qdisc add dev lo root tbf rate 80mbit burst 100k latency 50ms"},
		Flagged: []string{"ADDR-011", "PORT-015"}, Causes: []string{"redirect", "tbf"}, Ask: []string{"ADDR-011", "PORT-015"},
	},
	{
		Name: "two-rules", Hurts: "one rule for ICMP errors and one for a port", World: one(firewall),
		Damage:  append(rule("icmp type destination-unreachable drop"), rule("tcp dport 62893 drop")...),
		Flagged: []string{"UDP-004", "PORT-015"}, Causes: []string{"icmp.*drop", "62893.*drop"}, Ask: []string{"UDP-004", "PORT-015"},
	},
	{
		Name: "no-::1-and-a-small-receive-buffer", Hurts: "an address and a setting",
		Damage:  []string{"ip -6 address del ::1/128 dev lo", "sysctl -qw net.ipv4.tcp_rmem='4096 4096 4096'"},
		Flagged: []string{"PING-018", "CFG-001"}, Causes: []string{"lo-without-::1", "tcp_rmem"}, Ask: []string{"PING-018", "CFG-001"},
	},
})

package faults

import "time"

var slow = family("latency", []Fault{
	{
		Name: "two-thousand-rules", Quiet: true, Hurts: "each packet takes ten times as long, and nothing is lost", World: one(firewall),
		Beyond: "The remedy lets loopback pass before the rules, and leaves them to whoever wrote them.",
		Damage: one("seq 0 100 1900 | while read -r n; do seq $n $((n+99)) | sed 's/.*/add rule inet lab input meta l4proto { tcp, udp } th dport & drop/' | nft -f - || exit 1; done"),
		// Among the ports are none of the ephemeral range.
		Flagged: []string{"LAT-003", "LAT-004"}, Causes: one(`20\d\d rules`), Ask: []string{"LAT-003", "LAT-004"},
	},
	{
		Name: "connections-in-one-list", Quiet: true, Hurts: "each connection that is held makes all others slower",
		Beyond:  "A rule that is slow and lets all pass is not found by tracing packets.",
		World:   one("iptables-legacy -A INPUT -p tcp --dport 5999 -j ACCEPT"),
		Damage:  one("iptables-legacy -A INPUT -p tcp -m hashlimit --hashlimit-name list --hashlimit-mode srcip,srcport,dstport --hashlimit-htable-size 1 --hashlimit-htable-max 100000 --hashlimit-htable-expire 600000 --hashlimit-upto 1/sec -j ACCEPT"),
		Flagged: one("LAT-007"), Causes: one("hashlimit"), Ask: one("LAT-007"), Needs: one("iptables-legacy"),
	},
	{
		Name: "delay-1ms", Quiet: true, Hurts: "every TCP round trip takes 2 ms longer",
		Machine: Machine{Relay: &Relay{Protocol: "tcp", Delay: time.Millisecond}}, Flagged: one("LAT-003"), Causes: one("lab0"), Ask: one("LAT-003"),
	},
	{
		Name: "delay-1ms-udp", Quiet: true, Hurts: "every UDP round trip takes 2 ms longer",
		Machine: Machine{Relay: &Relay{Protocol: "udp", Delay: time.Millisecond}}, Flagged: one("LAT-004"), Causes: one("lab0"), Ask: one("LAT-004"),
	},
	{
		Name: "loss-0.2-tcp", Quiet: true, Hurts: "one request in two hundred and fifty takes 200 ms longer", World: one(firewall),
		Damage: rule("meta l4proto tcp numgen random mod 1000 < 2 drop"), Flagged: one("LAT-005"), Causes: one("numgen"), Ask: one("LAT-005"),
	},
})

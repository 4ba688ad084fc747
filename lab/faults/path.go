package faults

import "time"

var disturbance = family("loss, duplication, reordering, delay, corruption", []Fault{
	{
		Name: "loss-10", Hurts: "one packet in ten is lost", World: one(firewall),
		Damage: rule("iif lo numgen random mod 1000 < 100 drop"), Flagged: []string{"PING-019", "UDP-010"}, Causes: one("numgen"), Ask: []string{"PING-019", "UDP-010", "TCP-031"},
	},
	{
		Name: "loss-2", Hurts: "one packet in fifty is lost", World: one(firewall),
		Damage: rule("iif lo numgen random mod 1000 < 20 drop"), Flagged: []string{"PING-019", "UDP-010"}, Causes: one("numgen"), Ask: []string{"PING-019", "UDP-010"},
	},
	{
		Name: "loss-0.5", Hurts: "one packet in two hundred is lost", World: one(firewall),
		Damage: rule("iif lo numgen random mod 1000 < 5 drop"), Flagged: []string{"PING-019", "UDP-010"}, Causes: one("numgen"), Ask: []string{"PING-019", "UDP-010"},
	},
	{
		Name: "loss-0.5-udp", Hurts: "one datagram in two hundred is lost", World: one(firewall),
		Damage: rule("meta l4proto udp numgen random mod 1000 < 5 drop"), Flagged: one("UDP-010"), Causes: one("numgen"), Ask: one("UDP-010"),
	},
	{
		Name: "loss-2-tcp", Hurts: "one segment in fifty is lost and sent again 200 ms later", World: one(firewall),
		Damage: rule("meta l4proto tcp numgen random mod 1000 < 20 drop"), Flagged: one("TCP-*"), Causes: one("numgen"), Ask: []string{"TCP-029", "TCP-030", "TCP-031"},
	},
	{
		Name: "loss-0.5-tcp", Hurts: "one segment in two hundred is lost and sent again 200 ms later", World: one(firewall),
		Damage: rule("meta l4proto tcp numgen random mod 1000 < 5 drop"), Flagged: one("TCP-*"), Causes: one("numgen"), Ask: []string{"TCP-029", "TCP-030", "TCP-031"},
	},
	{
		Name: "duplication", Hurts: "one datagram in fifty arrives twice",
		World:  one("nft -f - <<'END'\ntable ip labdup {\n chain output { type filter hook output priority 0; tcp dport 5999 accept; }\n}\nEND"),
		Damage: one("nft 'add rule ip labdup output meta l4proto udp numgen random mod 50 0 dup to 127.0.0.1 device lo'"), Flagged: one("UDP-010"), Causes: one(`\bdup\b`), Ask: one("UDP-010"),
	},
	{
		Name: "reordering", Hurts: "one datagram in fifty arrives after the one that was sent later",
		Machine: Machine{Relay: &Relay{Protocol: "udp", Swap: 50}}, Flagged: one("UDP-010"), Causes: one("lab0"), Ask: one("UDP-010"),
	},
	{
		Name: "reordering-tcp", Hurts: "segments overtake each other, so that some are sent twice",
		Machine: Machine{Relay: &Relay{Protocol: "tcp", Swap: 20}}, Flagged: one("TCP-*"), Causes: one("lab0"), Ask: []string{"TCP-001", "TCP-031", "TCP-084"},
	},
	{
		Name: "delay-20ms", Hurts: "every round trip takes 40 ms longer",
		Machine: Machine{Relay: &Relay{Protocol: "tcp", Delay: 20 * time.Millisecond}}, Flagged: one("TCP-001"), Causes: one("lab0"), Ask: one("TCP-001"),
	},
	{
		Name: "doubled-by-a-relay", Hurts: "one datagram in fifty arrives twice",
		Machine: Machine{Relay: &Relay{Protocol: "udp", Double: 50}}, Flagged: one("UDP-010"), Causes: one("lab0"), Ask: one("UDP-010"),
	},
	{
		Name: "corruption-udp", Hurts: "one datagram in fifty arrives with a byte changed and a good checksum",
		Machine: Machine{Relay: &Relay{Protocol: "udp", Corrupt: 50}}, Flagged: one("UDP-010"), Causes: one("lab0"), Ask: one("UDP-010"),
	},
	{
		Name: "corruption-tcp", Hurts: "files arrive with bytes changed, and nothing noticed",
		Machine: Machine{Relay: &Relay{Protocol: "tcp", Corrupt: 50}}, Flagged: one("TCP-031"), Causes: one("lab0"), Ask: one("TCP-031"),
	},
	{
		Name: "corruption-udp-by-a-rule", Hurts: "the first byte of a datagram is changed", World: one(firewall),
		Damage: rule("meta l4proto udp numgen random mod 50 0 @th,64,8 set 0x42"), Flagged: one("UDP-010"), Causes: one(`@th,64,8|payload`), Ask: one("UDP-010"),
	},
	{
		Name: "corruption-tcp-by-a-rule", Hurts: "the first byte of a segment's payload is changed", World: one(firewall),
		Damage: rule("meta l4proto tcp meta length > 1000 @ih,0,8 set 0x42"), Flagged: one("TCP-031"), Causes: one(`@ih,0,8|payload`), Ask: one("TCP-031"),
	},
})

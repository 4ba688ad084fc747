package counters

import (
	"strings"
	"testing"
)

const pairs = `Ip: Forwarding InReceives
Ip: 2 9125
Tcp: MaxConn ActiveOpens
Tcp: -1 69
IpExt: InOctets
IpExt: 18446744073709551615
`

func TestSnapshotOfPairs(t *testing.T) {
	s := Snapshot{}
	if err := s.parsePairs(pairs); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		group, name string
		value       int64
	}{{"Ip", "InReceives", 9125}, {"Tcp", "MaxConn", -1}, {"Tcp", "ActiveOpens", 69}} {
		if got, err := s.Get(want.group, want.name); err != nil || got != want.value {
			t.Errorf("%s %s: got %d, %v; want %d", want.group, want.name, got, err, want.value)
		}
	}
	if got, err := s.Get("Tcp", "Nonesuch"); err == nil || !strings.Contains(err.Error(), "Tcp Nonesuch") {
		t.Errorf("a counter that is not there: got %d, %v", got, err)
	}
}

// Kernels differ in names and groups, and a group of many ICMP types takes
// several pairs of lines.
func TestSnapshotOfOldAndNewKernels(t *testing.T) {
	const (
		udp419 = `IcmpMsg: InType0 InType3
IcmpMsg: 1 2
IcmpMsg: OutType3 OutType8
IcmpMsg: 3 4
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti
Udp: 5 6 7 8 9 10 11 12
`
		udp510 = `Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 5 6 7 8 9 10 11 12 13
MPTcpExt: MPCapableSYNRX
MPTcpExt: 14
`
		ip618 = `Ip: Forwarding DefaultTTL InReceives InHdrErrors FragCreates OutTransmits
Ip: 2 64 15 16 17 18
`
	)
	for name, c := range map[string]struct {
		text, want, absent string
	}{
		"4.19": {
			udp419, "IcmpMsg InType0 1, IcmpMsg InType3 2, IcmpMsg OutType3 3, IcmpMsg OutType8 4, " +
				"Udp IgnoredMulti 12, Udp InCsumErrors 11, Udp InDatagrams 5, Udp InErrors 7, Udp NoPorts 6, " +
				"Udp OutDatagrams 8, Udp RcvbufErrors 9, Udp SndbufErrors 10", "Udp MemErrors",
		},
		"5.10": {
			udp510, "MPTcpExt MPCapableSYNRX 14, Udp IgnoredMulti 12, Udp InCsumErrors 11, Udp InDatagrams 5, " +
				"Udp InErrors 7, Udp MemErrors 13, Udp NoPorts 6, Udp OutDatagrams 8, Udp RcvbufErrors 9, Udp SndbufErrors 10",
			"Ip OutTransmits",
		},
		"6.18": {
			ip618, "Ip DefaultTTL 64, Ip Forwarding 2, Ip FragCreates 17, Ip InHdrErrors 16, Ip InReceives 15, Ip OutTransmits 18",
			"IpExt InOctets",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := Snapshot{}
			if err := s.parsePairs(c.text); err != nil {
				t.Fatal(err)
			}
			if got := s.String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			group, counter, _ := strings.Cut(c.absent, " ")
			if _, err := s.Get(group, counter); err == nil || !strings.Contains(err.Error(), c.absent) {
				t.Errorf("%s: got %v, want an error that names it", c.absent, err)
			}
		})
	}
}

func TestSnapshotOfColumns(t *testing.T) {
	s := Snapshot{}
	if err := s.parseColumns("Ip6InReceives   31\nIcmp6OutType136\t4\nUdpLite6InErrors 0\n"); err != nil {
		t.Fatal(err)
	}
	if got, want := s.String(), "Icmp6 OutType136 4, Ip6 InReceives 31"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := s.Get("UdpLite6", "InErrors"); err != nil {
		t.Error(err)
	}
}

func TestSnapshotRefusesTables(t *testing.T) {
	for name, text := range map[string]string{
		"no group":     "Forwarding 2\n",
		"other group":  "Ip: A\nTcp: 1\n",
		"value short":  "Ip: A B\nIp: 1\n",
		"value extra":  "Ip: A\nIp: 1 2\n",
		"values gone":  "Ip: A\n",
		"not a number": "Ip: A\nIp: x\n",
		"too large":    "Ip: A\nIp: 18446744073709551616\n",
	} {
		if err := (Snapshot{}).parsePairs(text); err == nil {
			t.Errorf("%s: %q was taken", name, text)
		}
	}
	for name, text := range map[string]string{
		"no value": "Ip6InReceives\n",
		"no six":   "IpInReceives 1\n",
		"no group": "6InReceives 1\n",
		"no name":  "Ip6 1\n",
		"no digit": "Ip6InReceives -\n",
	} {
		if err := (Snapshot{}).parseColumns(text); err == nil {
			t.Errorf("%s: %q was taken", name, text)
		}
	}
}

func TestSnapshotSub(t *testing.T) {
	earlier := Snapshot{"Tcp": {"ActiveOpens": 5, "CurrEstab": 3}, "IpExt": {"InOctets": -1}}
	now := Snapshot{"Tcp": {"ActiveOpens": 7, "CurrEstab": 1}, "IpExt": {"InOctets": 4}, "IcmpMsg": {"InType3": 2}}
	if got, want := now.Sub(earlier).String(), "IcmpMsg InType3 2, IpExt InOctets 5, Tcp ActiveOpens 2, Tcp CurrEstab -2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := earlier.String(); got != "IpExt InOctets -1, Tcp ActiveOpens 5, Tcp CurrEstab 3" {
		t.Errorf("the earlier snapshot changed to %q", got)
	}
}

// What the parser takes it must also keep: every name of a table of pairs can
// be asked for.
func FuzzSnapshotPairs(f *testing.F) {
	f.Add(pairs)
	f.Add("")
	f.Add("Ip: A\nIp: x\n")
	f.Add("Ip:\nIp:\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := Snapshot{}
		if err := s.parsePairs(text); err != nil {
			return
		}
		first := true
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) == 0 {
				continue
			}
			if first {
				for _, name := range fields[1:] {
					if _, err := s.Get(strings.TrimSuffix(fields[0], ":"), name); err != nil {
						t.Error(err)
					}
				}
			}
			first = !first
		}
	})
}

func FuzzSnapshotColumns(f *testing.F) {
	f.Add("Ip6InReceives   31\nIcmp6OutType136\t4\n")
	f.Add("Ip6 1")
	f.Fuzz(func(t *testing.T, text string) {
		s := Snapshot{}
		if err := s.parseColumns(text); err != nil {
			return
		}
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) == 0 {
				continue
			}
			group, name, _ := strings.Cut(fields[0], "6")
			if _, err := s.Get(group+"6", name); err != nil {
				t.Error(err)
			}
		}
	})
}

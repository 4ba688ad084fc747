package counters

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// The lines have been the same from Linux 4.19 to 7.0.
const sockstat = `sockets: used 290
TCP: inuse 11 orphan 2 tw 3 alloc 14 mem 5
UDP: inuse 6 mem 7
UDPLITE: inuse 8
RAW: inuse 9
FRAG: inuse 10 memory 4352
`

const sockstat6 = `TCP6: inuse 7
UDP6: inuse 4
UDPLITE6: inuse 3
RAW6: inuse 1
FRAG6: inuse 2 memory 512
`

func TestParseSockets(t *testing.T) {
	all := Sockets{
		Used: 290, TCP: TCPSockets{InUse: 11, Orphans: 2, TimeWait: 3, Allocated: 14, MemPages: 5},
		UDP: UDPSockets{InUse: 6, MemPages: 7}, UDPLite: 8, Raw: 9, Fragments: Fragments{InUse: 10, MemBytes: 4352},
	}
	withoutLite := all
	withoutLite.UDPLite = 0
	for name, c := range map[string]struct {
		text string
		want Sockets
	}{
		"4.19 to 7.0":         {sockstat, all},
		"7.1":                 {strings.Replace(sockstat, "UDPLITE: inuse 8\n", "", 1), withoutLite},
		"a line yet to come":  {sockstat + "QUIC: inuse 3\n", all},
		"a gauge yet to come": {strings.Replace(sockstat, "orphan", "fresh 1 orphan", 1), all},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(parseSockets(c.text)).To(Equal(c.want))
		})
	}
}

func TestParseSockets6(t *testing.T) {
	g := NewWithT(t)
	want := Sockets6{TCP: 7, UDP: 4, UDPLite: 3, Raw: 1, Fragments: Fragments{InUse: 2, MemBytes: 512}}
	g.Expect(parseSockets6(sockstat6)).To(Equal(want))
	want.UDPLite = 0
	g.Expect(parseSockets6(strings.Replace(sockstat6, "UDPLITE6: inuse 3\n", "", 1))).To(Equal(want))
}

func TestParseSocketsRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":            "",
		"a gauge is missing": strings.Replace(sockstat, " tw 3", "", 1),
		"a line is missing":  strings.Replace(sockstat, "RAW: inuse 9\n", "", 1),
		"a value is missing": strings.Replace(sockstat, "inuse 9", "inuse", 1),
		"no number":          strings.Replace(sockstat, "mem 7", "mem x", 1),
		"too large":          strings.Replace(sockstat, "mem 7", "mem 9223372036854775808", 1),
		"no heading":         strings.Replace(sockstat, "RAW:", "RAW", 1),
		"of IPv6":            sockstat6,
	} {
		if got, err := parseSockets(text); err == nil {
			t.Errorf("%s: read as %v, want an error", name, got)
		}
	}
	if got, err := parseSockets6(sockstat); err == nil {
		t.Errorf("IPv4's read as %v, want an error", got)
	}
}

func TestSocketsSub(t *testing.T) {
	g := NewWithT(t)
	earlier := Sockets{Used: 9, TCP: TCPSockets{TimeWait: 3, InUse: 1}, Fragments: Fragments{MemBytes: 100}}
	now := Sockets{Used: 10, TCP: TCPSockets{TimeWait: 1, InUse: 1}}
	g.Expect(now.Sub(earlier)).To(Equal(Sockets{Used: 1, TCP: TCPSockets{TimeWait: -2}, Fragments: Fragments{MemBytes: -100}}))
	g.Expect(now.Sub(earlier).String()).To(Equal("sockets used 1, TCP tw -2, FRAG memory -100"))
	g.Expect(now.Used).To(BeNumerically("==", 10), "the later reading is not changed")
	g.Expect(Sockets6{UDP: 1}.Sub(Sockets6{UDP: 4, Raw: 1}).String()).To(Equal("UDP6 inuse -3, RAW6 inuse -1"))
}

// What is read can be written and read again.
func FuzzParseSockets(f *testing.F) {
	f.Add(sockstat)
	f.Add(sockstat6)
	f.Add("sockets: used 1 used 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseSockets(text); err == nil {
			again, err := parseSockets(render(s.gauges()))
			if err != nil || again != s {
				t.Errorf("%+v came back as %+v, %v", s, again, err)
			}
		}
		if s, err := parseSockets6(text); err == nil {
			again, err := parseSockets6(render(s.gauges()))
			if err != nil || again != s {
				t.Errorf("%+v came back as %+v, %v", s, again, err)
			}
		}
	})
}

func render(gauges []gauge) string {
	var b strings.Builder
	for _, g := range gauges {
		fmt.Fprintf(&b, "%s: %s %d\n", g.line, g.name, *g.value)
	}
	return b.String()
}

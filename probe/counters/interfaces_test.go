package counters

import (
	"math"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const (
	devHeads = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`
	dev = devHeads + `    lo: 130426939566 884604947    0    0    0     0          0         0 130426939566 884604947    0    0    0     0       0          0
  eth0:       1       2    3    4    5     6          7         8        9      10   11   12   13    14      15         16
`
)

func TestParseInterfaces(t *testing.T) {
	lo := Interface{RxBytes: 130426939566, RxPackets: 884604947, TxBytes: 130426939566, TxPackets: 884604947}
	for name, c := range map[string]struct {
		text string
		want Interfaces
	}{
		"every column": {dev, Interfaces{"lo": lo, "eth0": {
			RxBytes: 1, RxPackets: 2, RxErrors: 3, RxDropped: 4, RxFIFO: 5, RxFrame: 6, RxCompressed: 7, RxMulticast: 8,
			TxBytes: 9, TxPackets: 10, TxErrors: 11, TxDropped: 12, TxFIFO: 13, TxCollisions: 14, TxCarrier: 15, TxCompressed: 16,
		}}},
		"no blank after the colon": {devHeads + "eth0:1" + strings.Repeat(" 0", 15) + "\n", Interfaces{"eth0": {RxBytes: 1}}},
		"a colon in the name":      {devHeads + "eth0:1: 5" + strings.Repeat(" 0", 15) + "\n", Interfaces{"eth0:1": {RxBytes: 5}}},
		"no interface":             {devHeads, Interfaces{}},
		"64 bits":                  {devHeads + "lo: 18446744073709551615" + strings.Repeat(" 0", 15) + "\n", Interfaces{"lo": {RxBytes: math.MaxUint64}}},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(parseInterfaces(c.text)).To(Equal(c.want))
		})
	}
}

func TestParseInterfacesRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":         "",
		"one heading":     "Inter-| Receive\n",
		"no heading":      dev[len(devHeads):],
		"fifteen columns": devHeads + "lo:" + strings.Repeat(" 0", 15) + "\n",
		"one column more": devHeads + "lo:" + strings.Repeat(" 0", 17) + "\n",
		"no name":         devHeads + " :" + strings.Repeat(" 0", 16) + "\n",
		"no colon":        devHeads + "lo" + strings.Repeat(" 0", 16) + "\n",
		"below zero":      devHeads + "lo: -1" + strings.Repeat(" 0", 15) + "\n",
	} {
		if got, err := parseInterfaces(text); err == nil {
			t.Errorf("%s: read as %v, want an error", name, got)
		}
	}
}

func TestInterfacesSub(t *testing.T) {
	g := NewWithT(t)
	earlier := Interfaces{"lo": {RxBytes: 10, RxPackets: 1}, "gone": {RxBytes: 1}, "anew": {RxBytes: 50, TxBytes: 1}}
	now := Interfaces{"lo": {RxBytes: 94, RxPackets: 2}, "fresh": {TxPackets: 3}, "anew": {RxBytes: 7, TxBytes: 2}}
	moved := now.Sub(earlier)
	g.Expect(moved).To(Equal(Interfaces{
		"lo": {RxBytes: 84, RxPackets: 1}, "fresh": {TxPackets: 3}, "anew": {RxBytes: 7, TxBytes: 2},
	}))
	g.Expect(moved.String()).To(Equal("anew (rx_bytes 7, tx_bytes 2), fresh (tx_packets 3), lo (rx_bytes 84, rx_packets 1)"))
	g.Expect(now["lo"].RxBytes).To(BeNumerically("==", 94), "the later reading is not changed")
}

// Whoever may make interfaces chooses their names.
func TestInterfacesStringEscapesNames(t *testing.T) {
	got := Interfaces{"e\x1b[31m": {RxBytes: 1}, "a\"b": {RxBytes: 2}}.String()
	NewWithT(t).Expect(got).To(Equal(`"a\"b" (rx_bytes 2), "e\x1b[31m" (rx_bytes 1)`))
}

func FuzzParseInterfaces(f *testing.F) {
	f.Add(dev)
	f.Add(devHeads)
	f.Add(devHeads + "\xff\x1b: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 18446744073709551615")
	f.Fuzz(func(t *testing.T, text string) {
		interfaces, err := parseInterfaces(text)
		if err != nil {
			return
		}
		if gone := interfaces.Sub(interfaces).String(); gone != "" {
			t.Errorf("a reading less itself is %q, want nothing", gone)
		}
		for _, r := range interfaces.String() {
			if r < ' ' || r > '~' {
				t.Errorf("%q is shown as it is in %q", r, interfaces.String())
			}
		}
	})
}

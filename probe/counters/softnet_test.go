package counters

import (
	"math"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const (
	softnet419 = `00008e78 00000002 00000003 00000000 00000000 00000000 00000000 00000000 00000000 00000004 00000005
0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
`
	// Processor 1 is offline.
	softnet510 = `00008e78 00000002 00000003 00000000 00000000 00000000 00000000 00000000 00000000 00000004 00000005 00000006 00000000
0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002
`
	softnet618 = `00008e78 00000002 00000003 00000000 00000000 00000000 00000000 00000000 00000000 00000004 00000005 00000006 00000000 00000001 00000005
ffffffff 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000000 00000000
`
)

func TestParseSoftnet(t *testing.T) {
	busy := SoftnetCPU{Processed: 0x8e78, Dropped: 2, TimeSqueezed: 3, ReceivedRPS: 4, FlowLimited: 5, Backlog: 6}
	busyOld := busy
	busyOld.Backlog = 0
	for name, c := range map[string]struct {
		text     string
		want     Softnet
		numbered bool
	}{
		"4.19": {softnet419, Softnet{PerCPU: map[int]SoftnetCPU{0: busyOld, 1: {Processed: 10}}, Columns: 11}, false},
		"5.10": {softnet510, Softnet{PerCPU: map[int]SoftnetCPU{0: busy, 2: {Processed: 10}}, Columns: 13}, true},
		"6.18": {softnet618, Softnet{PerCPU: map[int]SoftnetCPU{0: busy, 1: {Processed: math.MaxUint32}}, Columns: 15}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got, err := parseSoftnet(c.text)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(c.want))
			g.Expect(got.Numbered()).To(Equal(c.numbered))
		})
	}
}

func TestParseSoftnetRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                "",
		"ten columns":            strings.Repeat("00000000 ", 10) + "\n",
		"rows of two lengths":    softnet510 + softnet618,
		"a processor twice":      softnet618 + softnet618,
		"no number":              strings.Replace(softnet618, "00000002", "0000000g", 1),
		"more than 32 bits":      strings.Replace(softnet618, "00000002", "100000000", 1),
		"a processor past int32": strings.Replace(softnet618, "00000006 00000000", "00000006 80000000", 1),
	} {
		if got, err := parseSoftnet(text); err == nil {
			t.Errorf("%s: read as %v, want an error", name, got)
		}
	}
}

func TestSoftnetSub(t *testing.T) {
	g := NewWithT(t)
	earlier := Softnet{Columns: 15, PerCPU: map[int]SoftnetCPU{
		0: {Processed: math.MaxUint32, Backlog: 4}, 1: {Processed: 7}, 2: {Dropped: 1},
	}}
	now := Softnet{Columns: 15, PerCPU: map[int]SoftnetCPU{
		0: {Processed: 2, Backlog: 1}, 1: {Processed: 7}, 3: {Processed: 90},
	}}
	moved := now.Sub(earlier)
	g.Expect(moved.PerCPU).To(Equal(map[int]SoftnetCPU{0: {Processed: 3, Backlog: -3}, 1: {}}))
	g.Expect(moved.String()).To(Equal("cpu0 (processed 3, backlog_len -3)"))
}

func TestSoftnetSubOfRows(t *testing.T) {
	g := NewWithT(t)
	one := Softnet{Columns: 11, PerCPU: map[int]SoftnetCPU{0: {Processed: 5}}}
	two := Softnet{Columns: 11, PerCPU: map[int]SoftnetCPU{0: {Processed: 5}, 1: {Processed: 9}}}
	later := Softnet{Columns: 11, PerCPU: map[int]SoftnetCPU{0: {Processed: 5}, 1: {Processed: 11}}}
	g.Expect(later.Sub(two).String()).To(Equal("row1 (processed 2)"))
	g.Expect(later.Sub(one).PerCPU).To(BeEmpty(), "nothing tells which processor is the first row of which reading")
}

func FuzzParseSoftnet(f *testing.F) {
	f.Add(softnet419)
	f.Add(softnet510)
	f.Add(softnet618)
	f.Add(strings.Repeat("ffffffff ", 15) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSoftnet(text)
		if err != nil {
			return
		}
		rows := 0
		for line := range strings.Lines(text) {
			if strings.TrimSpace(line) != "" {
				rows++
			}
		}
		if len(s.PerCPU) != rows {
			t.Errorf("%d rows became %d processors", rows, len(s.PerCPU))
		}
		for cpu := range s.PerCPU {
			if cpu < 0 {
				t.Errorf("processor %d", cpu)
			}
		}
		if text := s.Sub(s).String(); text != "" {
			t.Errorf("a reading less itself is %q, want nothing", text)
		}
	})
}

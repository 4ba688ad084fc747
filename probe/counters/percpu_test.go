package counters

import (
	"math"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// Processor 1 is offline.
const perCPUStat = `cpu  6474 1 2411 176259 357 2 55 9 3 4
cpu0 2847 1 950 88891 24 2 8 3 5 6
cpu2 3627 0 1461 87368 333 0 47 6 0 0
intr 270301 0 0
ctxt 503596
cpufreq 7
`

func TestParsePerCPU(t *testing.T) {
	ms := func(ticks int) time.Duration { return time.Duration(ticks) * 10 * time.Millisecond }
	for name, c := range map[string]struct {
		text string
		want PerCPU
	}{
		"ten columns": {perCPUStat, PerCPU{
			0: {
				User: ms(2847), Nice: ms(1), System: ms(950), Idle: ms(88891), IOWait: ms(24),
				IRQ: ms(2), SoftIRQ: ms(8), Steal: ms(3), Guest: ms(5), GuestNice: ms(6),
			},
			2: {User: ms(3627), System: ms(1461), Idle: ms(87368), IOWait: ms(333), SoftIRQ: ms(47), Steal: ms(6)},
		}},
		"2.4, with four columns": {"cpu0 1 2 3 4\n", PerCPU{0: {User: ms(1), Nice: ms(2), System: ms(3), Idle: ms(4)}}},
		"columns yet to come":    {"cpu7 0 0 0 0 0 0 0 0 0 1 99 x\n", PerCPU{7: {GuestNice: ms(1)}}},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(parsePerCPU(c.text)).To(Equal(c.want))
		})
	}
}

func TestParsePerCPURefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":              "",
		"the sum alone":        "cpu  1 2 3 4\n",
		"no processor":         "cpufreq 7\n",
		"half a number":        "cpu0x 1\n",
		"a processor twice":    "cpu0 1\ncpu0 1\n",
		"a number past int32":  "cpu2147483648 1\n",
		"below zero":           "cpu0 1 -2\n",
		"more than a Duration": "cpu0 1 922337203686\n",
	} {
		if got, err := parsePerCPU(text); err == nil {
			t.Errorf("%s: read as %v, want an error", name, got)
		}
	}
}

func TestPerCPUSub(t *testing.T) {
	g := NewWithT(t)
	earlier := PerCPU{0: {User: Tick, IOWait: 5 * Tick}, 1: {User: 9}}
	now := PerCPU{0: {User: 4 * Tick, IOWait: 4 * Tick, Idle: 100 * Tick}, 2: {User: 7}}
	moved := now.Sub(earlier)
	g.Expect(moved).To(Equal(PerCPU{0: {User: 3 * Tick, Idle: time.Second}}))
	g.Expect(moved.String()).To(Equal("cpu0 (user 30ms, idle 1s)"))
}

func FuzzParsePerCPU(f *testing.F) {
	f.Add(perCPUStat)
	f.Add("cpu0 1 2 3 4\ncpu1")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePerCPU(text)
		if err != nil {
			return
		}
		for cpu, spent := range p {
			if cpu < 0 || cpu > math.MaxInt32 {
				t.Errorf("processor %d", cpu)
			}
			for i, column := range spent.columns() {
				if *column < 0 || *column%Tick != 0 {
					t.Errorf("cpu%d: %s of %v", cpu, statColumns[i], *column)
				}
			}
		}
		if gone := p.Sub(p).String(); gone != "" {
			t.Errorf("a reading less itself is %q, want nothing", gone)
		}
	})
}

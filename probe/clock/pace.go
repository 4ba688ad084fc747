package clock

import (
	"runtime"
	"time"
)

const (
	// paceSteps take some 40 µs: as long as the clock tells well, and short enough to
	// be seldom interrupted.
	paceSteps = 20_000
	paceTries = 3
)

// Pace is what a fixed stretch of arithmetic takes on the processor of the calling
// thread, the least of three. Its steps are independent of each other and touch no
// memory, so that they keep all units of the processor busy: it differs where the
// clock of the processor does, and where another machine uses the other thread of its
// core, neither of which the kernel counts as time that was stolen.
func Pace() time.Duration {
	least := time.Duration(1<<63 - 1)
	for range paceTries {
		a, b, c, d, e := uint64(1), uint64(2), uint64(3), uint64(4), uint64(5)
		began := time.Now()
		for i := range uint64(paceSteps) {
			a ^= a<<1 + i
			b ^= b<<3 + i
			c ^= c<<5 + i
			d ^= d<<7 + i
			e ^= e<<9 + i
		}
		least = min(least, time.Since(began))
		runtime.KeepAlive(a + b + c + d + e) // so that it is not left out
	}
	return least
}

package bench

import "time"

const (
	// maxSlower is by what share the processor's pace may fall behind the best that was
	// seen lately. It keeps within 3 % where nothing disturbs it; beside a neighbour it
	// fell by 10 to 80 %, and with it round trips, by half.
	maxSlower = 0.1
	// paceMemory is for how long a pace is remembered, at least: processors run faster
	// for the first seconds of work than they can for long, and are held to that no
	// longer.
	paceMemory = 30 * time.Second
)

// pace is the best that clock.Pace took of a processor: in a stretch of paceMemory
// that has begun, and in the one before.
type pace struct {
	began     time.Time
	now, last time.Duration
}

// paces are those of processors by their number, -1 where a benchmark is free, of all
// benchmarks of this process: they are held against each other. Whoever has the turn
// uses them.
var paces = map[int]*pace{}

// paced says whether a processor kept its pace, which was taken at a moment.
func paced(cpu int, took time.Duration, at time.Time) bool {
	p := paces[cpu]
	switch {
	case p == nil:
		p = &pace{began: at, now: took, last: took}
		paces[cpu] = p
	case at.Sub(p.began) > 2*paceMemory:
		*p = pace{began: at, now: took, last: took}
	case at.Sub(p.began) > paceMemory:
		*p = pace{began: at, now: took, last: p.now}
	}
	p.now = min(p.now, took)
	return float64(took) <= (1+maxSlower)*float64(min(p.now, p.last))
}

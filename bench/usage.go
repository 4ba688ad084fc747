package bench

import "time"

// usage is what a process has used since it began. What the system does not tell
// is 0, and migrations -1.
type usage struct {
	CPU time.Duration `json:"cpu_ns"` // user and system time
	// Waiting is the time that threads were ready to run and did not; -1 where not told.
	Waiting     time.Duration `json:"waiting_ns"`
	Voluntary   int64         `json:"voluntary"`
	Involuntary int64         `json:"involuntary"`
	Migrations  int64         `json:"migrations"`
	// Collections of garbage; those of the client are counted elsewhere.
	Collections uint64 `json:"collections"`
	// Seen is how often the server was found on each processor, ClientSeen how often
	// the client, and Together how often both were on one, of Looks.
	Seen       map[int]int64 `json:"seen,omitempty"`
	ClientSeen map[int]int64 `json:"-"`
	Together   int64         `json:"-"`
	Looks      int64         `json:"-"`
}

func (u usage) sub(earlier usage) usage {
	d := usage{
		CPU: u.CPU - earlier.CPU, Voluntary: u.Voluntary - earlier.Voluntary, Involuntary: u.Involuntary - earlier.Involuntary,
		Waiting: -1, Migrations: -1, Together: u.Together - earlier.Together, Looks: u.Looks - earlier.Looks,
		Collections: u.Collections - earlier.Collections,
		Seen:        lookedMore(u.Seen, earlier.Seen), ClientSeen: lookedMore(u.ClientSeen, earlier.ClientSeen),
	}
	if u.Waiting >= 0 && earlier.Waiting >= 0 {
		d.Waiting = max(0, u.Waiting-earlier.Waiting)
	}
	if u.Migrations >= 0 && earlier.Migrations >= 0 {
		d.Migrations = max(0, u.Migrations-earlier.Migrations) // a thread that ended took its own along
	}
	return d
}

func lookedMore(now, earlier map[int]int64) map[int]int64 {
	more := map[int]int64{}
	for cpu, n := range now {
		if n -= earlier[cpu]; n > 0 {
			more[cpu] = n
		}
	}
	return more
}

func (u *usage) add(more usage) {
	u.CPU += more.CPU
	u.Voluntary += more.Voluntary
	u.Involuntary += more.Involuntary
	u.Collections += more.Collections
	u.Waiting, u.Migrations = addTold(u.Waiting, more.Waiting), addTold(u.Migrations, more.Migrations)
	addTo(&u.Seen, more.Seen)
	addTo(&u.ClientSeen, more.ClientSeen)
	u.Together += more.Together
	u.Looks += more.Looks
}

// addTold adds what may be -1 where it is not told.
func addTold[N int64 | time.Duration](a, b N) N {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}

// addTo adds counts to those of the same name.
func addTo[K comparable](sums *map[K]int64, more map[K]int64) {
	for key, n := range more {
		if *sums == nil {
			*sums = map[K]int64{}
		}
		(*sums)[key] += n
	}
}

package counters

import "time"

// Stat holds what the scheduler has counted for the whole machine since it
// started: the "cpu" and "ctxt" lines of /proc/stat. The times are in ticks of
// USER_HZ, a hundredth of a second on every Linux, and summed over all
// processors. User holds Guest, and Nice holds GuestNice.
//
// Source: proc_stat(5), Documentation/filesystems/proc.rst.
type Stat struct {
	User, Nice, System, Idle, IOWait, IRQ, SoftIRQ uint64
	// Steal is the time in which the hypervisor ran something else although a
	// processor of this machine had work to do.
	Steal            uint64
	Guest, GuestNice uint64

	ContextSwitches uint64
}

// Sub returns what was counted since an earlier reading. A counter that went
// back, as the kernel lets idle and I/O wait do, counts as not moved.
func (s Stat) Sub(earlier Stat) Stat {
	return Stat{
		User:            since(s.User, earlier.User),
		Nice:            since(s.Nice, earlier.Nice),
		System:          since(s.System, earlier.System),
		Idle:            since(s.Idle, earlier.Idle),
		IOWait:          since(s.IOWait, earlier.IOWait),
		IRQ:             since(s.IRQ, earlier.IRQ),
		SoftIRQ:         since(s.SoftIRQ, earlier.SoftIRQ),
		Steal:           since(s.Steal, earlier.Steal),
		Guest:           since(s.Guest, earlier.Guest),
		GuestNice:       since(s.GuestNice, earlier.GuestNice),
		ContextSwitches: since(s.ContextSwitches, earlier.ContextSwitches),
	}
}

func since(now, earlier uint64) uint64 {
	if now < earlier {
		return 0
	}
	return now - earlier
}

// StealShare is the part of the processor time that was stolen, 0 to 1. Over a
// stretch of a few ticks it moves in large steps.
func (s Stat) StealShare() float64 {
	total := s.User + s.Nice + s.System + s.Idle + s.IOWait + s.IRQ + s.SoftIRQ + s.Steal
	if total == 0 {
		return 0
	}
	return float64(s.Steal) / float64(total)
}

// Pressure is how long tasks have waited for a resource since the machine
// started.
//
// Source: Documentation/accounting/psi.rst.
type Pressure struct {
	Some time.Duration // at least one task waited
	Full time.Duration // every task that was not idle waited
}

// Sub returns the waiting since an earlier reading.
func (p Pressure) Sub(earlier Pressure) Pressure {
	return Pressure{
		Some: max(0, p.Some-earlier.Some),
		Full: max(0, p.Full-earlier.Full),
	}
}

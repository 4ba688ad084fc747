package counters

import "time"

// CPU is one look at what the processors have been doing. What the system does
// not tell leaves its error.
type CPU struct {
	At          time.Time
	Stat        Stat
	StatErr     error
	Pressure    Pressure
	PressureErr error
}

// CPUShare is how short of processors the machine was between two looks.
type CPUShare struct {
	// Stolen is the part of the processor time that the hypervisor kept for
	// others, 0 to 1; 0 where the system does not tell.
	Stolen float64
	// Waited is the part of the time in which a runnable task waited for a
	// processor, 0 to 1; -1 where the system does not tell.
	Waited          float64
	ContextSwitches uint64 // of the whole machine
}

// ReadCPU takes a look now.
func ReadCPU() CPU {
	var c CPU
	c.Stat, c.StatErr = ReadStat()
	c.Pressure, c.PressureErr = ReadPressure(CPUs)
	c.At = time.Now()
	return c
}

// Since returns the shares of the time that has passed since an earlier look.
func (c CPU) Since(earlier CPU) CPUShare {
	share := CPUShare{Waited: -1}
	if c.StatErr == nil && earlier.StatErr == nil {
		passed := c.Stat.Sub(earlier.Stat)
		share.Stolen, share.ContextSwitches = passed.StealShare(), passed.ContextSwitches
	}
	elapsed := c.At.Sub(earlier.At)
	if c.PressureErr == nil && earlier.PressureErr == nil && elapsed > 0 {
		// The counter and the clock are read one after the other, so that the
		// share of a busy machine can come out a little above the whole.
		share.Waited = min(1, float64(c.Pressure.Sub(earlier.Pressure).Some)/float64(elapsed))
	}
	return share
}

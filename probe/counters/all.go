package counters

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// All is everything that the kernel counts for the calling thread's network
// namespace, this process and the machine. It is taken before and after
// something happens, to see what moved.
type All struct {
	At      time.Time     // when the reading was complete
	Elapsed time.Duration // in a difference, from the earlier to the later reading

	// Of the network namespace, but for what Sockets says is the machine's.
	Protocols  Part[Snapshot]
	Sockets    Part[Sockets]
	Sockets6   Part[Sockets6]
	Interfaces Part[Interfaces]

	// Of this process.
	Threads Part[Threads]

	// Of the machine.
	Softnet        Part[Softnet]
	Stat           Part[Stat]
	PerCPU         Part[PerCPU]
	RunQueues      Part[RunQueues]
	CPUPressure    Part[Pressure]
	MemoryPressure Part[Pressure]
	IOPressure     Part[Pressure]
	IRQPressure    Part[Pressure]
}

// Part is one source of All. Value means something only where Err is nil.
type Part[T difference[T]] struct {
	Value T
	Err   error
}

type difference[T any] interface {
	Sub(earlier T) T
	fmt.Stringer
}

// ReadAll reads everything, in well under a millisecond where processors and
// threads are few. What cannot be read leaves its error in its part.
func ReadAll() All {
	a := All{
		Protocols:      part(Read()),
		Sockets:        part(ReadSockets()),
		Sockets6:       part(ReadSockets6()),
		Interfaces:     part(ReadInterfaces()),
		Threads:        part(ReadThreads()),
		Softnet:        part(ReadSoftnet()),
		Stat:           part(ReadStat()),
		PerCPU:         part(ReadPerCPU()),
		RunQueues:      part(ReadRunQueues()),
		CPUPressure:    part(ReadPressure(CPUs)),
		MemoryPressure: part(ReadPressure(Memory)),
		IOPressure:     part(ReadPressure(IO)),
		IRQPressure:    part(ReadPressure(IRQs)),
	}
	a.At = time.Now()
	return a
}

// Sub returns what moved since an earlier reading. A part that either reading
// lacks has the error of the one that lacks it.
func (a All) Sub(earlier All) All {
	return All{
		At:             a.At,
		Elapsed:        a.At.Sub(earlier.At),
		Protocols:      a.Protocols.sub(earlier.Protocols),
		Sockets:        a.Sockets.sub(earlier.Sockets),
		Sockets6:       a.Sockets6.sub(earlier.Sockets6),
		Interfaces:     a.Interfaces.sub(earlier.Interfaces),
		Threads:        a.Threads.sub(earlier.Threads),
		Softnet:        a.Softnet.sub(earlier.Softnet),
		Stat:           a.Stat.sub(earlier.Stat),
		PerCPU:         a.PerCPU.sub(earlier.PerCPU),
		RunQueues:      a.RunQueues.sub(earlier.RunQueues),
		CPUPressure:    a.CPUPressure.sub(earlier.CPUPressure),
		MemoryPressure: a.MemoryPressure.sub(earlier.MemoryPressure),
		IOPressure:     a.IOPressure.sub(earlier.IOPressure),
		IRQPressure:    a.IRQPressure.sub(earlier.IRQPressure),
	}
}

// String lists what is not zero, a line for each source that has something,
// such as "protocols: Tcp ActiveOpens 1". What could not be read is not in it.
func (a All) String() string {
	var lines []string
	for _, p := range a.parts() {
		if text := p.part.text(); text != "" {
			lines = append(lines, p.name+": "+text)
		}
	}
	return strings.Join(lines, "\n")
}

// Err joins the errors of the parts that could not be read, nil for none.
func (a All) Err() error {
	var errs []error
	for _, p := range a.parts() {
		errs = append(errs, p.part.failed())
	}
	return errors.Join(errs...)
}

type namedPart struct {
	name string
	part interface {
		text() string
		failed() error
	}
}

func (a All) parts() []namedPart {
	return []namedPart{
		{"protocols", a.Protocols},
		{"sockets", a.Sockets},
		{"IPv6 sockets", a.Sockets6},
		{"interfaces", a.Interfaces},
		{"threads of this process", a.Threads},
		{"packets received", a.Softnet},
		{"processor time", a.Stat},
		{"processor time each", a.PerCPU},
		{"run queues", a.RunQueues},
		{"CPU pressure", a.CPUPressure},
		{"memory pressure", a.MemoryPressure},
		{"I/O pressure", a.IOPressure},
		{"IRQ pressure", a.IRQPressure},
	}
}

func part[T difference[T]](value T, err error) Part[T] { return Part[T]{value, err} }

func (p Part[T]) sub(earlier Part[T]) Part[T] {
	if p.Err != nil {
		return Part[T]{Err: p.Err}
	}
	if earlier.Err != nil {
		return Part[T]{Err: earlier.Err}
	}
	return Part[T]{Value: p.Value.Sub(earlier.Value)}
}

func (p Part[T]) text() string {
	if p.Err != nil {
		return ""
	}
	return p.Value.String()
}

func (p Part[T]) failed() error { return p.Err }

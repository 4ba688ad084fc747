package counters

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Resource is what tasks may have to wait for, by the kernel's name.
type Resource string

const (
	CPUs   Resource = "cpu"
	Memory Resource = "memory"
	IO     Resource = "io"
	// IRQs stands for the time that interrupts take from tasks. A kernel has
	// it from Linux 6.1, if built with CONFIG_IRQ_TIME_ACCOUNTING.
	IRQs Resource = "irq"
)

// Pressure is how long tasks have waited for a resource since the machine
// started.
//
// Source: Documentation/accounting/psi.rst.
type Pressure struct {
	// Some is the time in which at least one task waited. The kernel does not
	// tell it of IRQs, where it is 0.
	Some time.Duration
	// Full is the time in which every task that was not idle waited. Of CPUs
	// it is 0: the machine as a whole always runs one.
	Full time.Duration
}

// ReadPressure reads how long tasks of the whole machine have waited for a
// resource, up to this moment. It fails with an error that wraps
// fs.ErrNotExist or errors.ErrUnsupported where the kernel was built without
// pressure stall information or started with psi=0.
func ReadPressure(of Resource) (Pressure, error) {
	return readAs(string(of)+" pressure", "/proc/pressure/"+string(of), func(text string) (Pressure, error) {
		return parsePressure(of, text)
	})
}

// Sub returns the waiting since an earlier reading.
func (p Pressure) Sub(earlier Pressure) Pressure {
	return Pressure{
		Some: since(p.Some, earlier.Some),
		Full: since(p.Full, earlier.Full),
	}
}

// String lists what is not zero, such as "some 3ms, full 1ms".
func (p Pressure) String() string {
	var l list
	add(&l, "some", p.Some)
	add(&l, "full", p.Full)
	return l.String()
}

// parsePressure wants the "some" line, of IRQs the "full" line: before Linux
// 5.13 there is no other for processors.
func parsePressure(of Resource, text string) (Pressure, error) {
	var p Pressure
	want := "some"
	if of == IRQs {
		want = "full"
	}
	found := false
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(line, " ")
		for _, field := range strings.Fields(rest) {
			value, isTotal := strings.CutPrefix(field, "total=")
			if !isTotal {
				continue
			}
			us, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return Pressure{}, fmt.Errorf("line %q: %w", short(kind), err)
			}
			if us > math.MaxInt64/uint64(time.Microsecond) {
				return Pressure{}, fmt.Errorf("line %q: a total of %d µs", short(kind), us)
			}
			switch kind {
			case "some":
				p.Some = time.Duration(us) * time.Microsecond
			case "full":
				p.Full = time.Duration(us) * time.Microsecond
			}
			found = found || kind == want
		}
	}
	if !found {
		return Pressure{}, fmt.Errorf("no total in a %q line", want)
	}
	return p, nil
}

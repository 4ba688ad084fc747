package counters

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ReadCPUPressure reads how long runnable tasks have waited for a processor,
// up to this moment. It fails where the kernel was built without pressure
// stall information or started with psi=0.
func ReadCPUPressure() (Pressure, error) {
	text, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return Pressure{}, fmt.Errorf("reading CPU pressure: %w", err)
	}
	p, err := parsePressure(string(text))
	if err != nil {
		return Pressure{}, fmt.Errorf("reading /proc/pressure/cpu: %w", err)
	}
	return p, nil
}

// parsePressure wants the "some" line; before Linux 5.13 there is no "full"
// line for processors.
func parsePressure(text string) (Pressure, error) {
	var p Pressure
	found := false
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(line, " ")
		for _, field := range strings.Fields(rest) {
			value, isTotal := strings.CutPrefix(field, "total=")
			if !isTotal {
				continue
			}
			us, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return Pressure{}, fmt.Errorf("line %q: %w", kind, err)
			}
			if us < 0 || us > int64(time.Duration(1<<63-1)/time.Microsecond) {
				return Pressure{}, fmt.Errorf("line %q: a total of %d µs", kind, us)
			}
			switch kind {
			case "some":
				p.Some, found = time.Duration(us)*time.Microsecond, true
			case "full":
				p.Full = time.Duration(us) * time.Microsecond
			}
		}
	}
	if !found {
		return Pressure{}, errors.New(`no total in a "some" line`)
	}
	return p, nil
}

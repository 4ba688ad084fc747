package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/bench"
)

// count is a number with its noun: "1 check", "3 checks".
func count(n int, noun string) string {
	return fmt.Sprintf("%d %s", n, plural(n, noun, noun+"s"))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// humanDuration is a time a person waited, to the precision they care about.
func humanDuration(d time.Duration) string {
	switch seconds := d.Seconds(); {
	case seconds >= 59.5:
		whole := int(math.Round(seconds))
		return fmt.Sprintf("%d min %d s", whole/60, whole%60)
	case seconds >= 9.95:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds >= 0.9995:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds >= 0.0009995:
		return fmt.Sprintf("%.0f ms", seconds*1e3)
	}
	if d <= 0 {
		return "0 s"
	}
	return fmt.Sprintf("%.0f µs", d.Seconds()*1e6)
}

// latencyUnits are the units a round trip is told in, largest first.
var latencyUnits = []struct {
	ns   float64
	name string
}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}}

// humanNS is a latency in nanoseconds, told with three significant digits.
func humanNS(ns float64) string {
	unit := unitOf(ns)
	return figure(ns/latencyUnits[unit].ns) + " " + latencyUnits[unit].name
}

// humanInterval is an interval in nanoseconds, the unit told once.
func humanInterval(low, high float64) string {
	if low == 0 && high == 0 {
		return "–"
	}
	unit := latencyUnits[unitOf(high)]
	return figure(low/unit.ns) + "–" + figure(high/unit.ns) + " " + unit.name
}

// unitOf is the largest unit that leaves at least 1 before the point once
// rounded, so that 999.9 µs becomes 1 ms and not 1000 µs.
func unitOf(ns float64) int {
	for i, unit := range latencyUnits {
		if math.Abs(ns) >= unit.ns*0.9995 {
			return i
		}
	}
	return len(latencyUnits) - 1
}

// figure is a number with three significant digits and no exponent.
func figure(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	decimals := 0
	switch magnitude := math.Abs(v); {
	case magnitude == 0:
	case magnitude < 9.995:
		decimals = 2
	case magnitude < 99.95:
		decimals = 1
	}
	return grouped(strconv.FormatFloat(v, 'f', decimals, 64))
}

// humanRate is a number of operations per second.
func humanRate(perSecond float64) string {
	return grouped(strconv.FormatFloat(math.Round(perSecond), 'f', 0, 64)) + "/s"
}

// humanBytesRate is a number of bytes per second, in the decimal units of rates.
func humanBytesRate(perSecond float64) string {
	for _, unit := range []struct {
		bytes float64
		name  string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if perSecond >= unit.bytes*0.9995 {
			return figure(perSecond/unit.bytes) + " " + unit.name + "/s"
		}
	}
	return figure(perSecond) + " B/s"
}

// grouped sets commas between the thousands of a decimal number.
func grouped(number string) string {
	whole, fraction, hasFraction := strings.Cut(number, ".")
	sign := ""
	if rest, negative := strings.CutPrefix(whole, "-"); negative {
		sign, whole = "-", rest
	}
	var out strings.Builder
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteRune(digit)
	}
	if hasFraction {
		out.WriteByte('.')
		out.WriteString(fraction)
	}
	return sign + out.String()
}

// humanMeasurement splits a measurement into a label and a value in the unit
// that its name carries.
func humanMeasurement(name string, value float64) (label, text string) {
	if label, ok := strings.CutSuffix(name, "_ns"); ok {
		return label, humanNS(value)
	}
	if label, ok := strings.CutSuffix(name, "_per_s"); ok {
		return label, humanRate(value)
	}
	if label, ok := strings.CutSuffix(name, "_bytes"); ok {
		return label, grouped(strconv.FormatFloat(value, 'f', -1, 64)) + " bytes"
	}
	return name, grouped(strconv.FormatFloat(value, 'f', -1, 64))
}

// Quantity is what a restart tells, in the unit that a table has it in.
func Quantity(q bench.Quantity, v float64) string {
	switch q {
	case bench.Rate:
		return humanRate(v)
	case bench.Bytes:
		return humanBytesRate(v)
	}
	return humanNS(v)
}

package mock

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/probe/userfile"
)

// maxDelay is longer than any client waits.
const maxDelay = time.Hour

// Delay is a distribution of times.
type Delay struct {
	// From and To bound a uniform distribution; equal, they are one time.
	From, To time.Duration
	// P50 and P99 are percentiles of a log-normal distribution, which times of
	// answers often resemble; zero where the distribution is uniform.
	P50, P99 time.Duration
}

// z99 is the 99th percentile of the standard normal distribution.
var z99 = standardNormal(0.99)

// standardNormal is its quantile.
func standardNormal(at float64) float64 { return math.Sqrt2 * math.Erfinv(2*at-1) }

// at is the quantile, for 0 ≤ u < 1, at most maxDelay.
func (d Delay) at(u float64) time.Duration {
	if d.P50 == 0 {
		return d.From + time.Duration(u*float64(d.To-d.From))
	}
	sigma := math.Log(float64(d.P99)/float64(d.P50)) / z99
	if sigma == 0 || u == 0 {
		return d.P50
	}
	return time.Duration(min(float64(d.P50)*math.Exp(sigma*standardNormal(u)), float64(maxDelay)))
}

const delayForms = "write a time such as 200ms, a range such as 50ms-200ms, or {p50: 20ms, p99: 200ms}"

func parseDelay(node userfile.Node) (Delay, error) {
	if node.IsMapping() {
		return parsePercentiles(node)
	}
	text, err := node.Text("delay")
	if err != nil {
		return Delay{}, node.Fault("delay: %s", delayForms)
	}
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	var d Delay
	if d.From, err = parseTime(first); err == nil {
		d.To, err = parseTime(last)
	}
	switch {
	case errors.Is(err, errTooLong):
		return d, node.Fault("delay: %q: %v", text, err)
	case err != nil:
		return d, node.Fault("delay: %q: %s", text, delayForms)
	case d.To < d.From:
		return d, node.Fault("delay: range %s is reversed: write %s-%s", text, last, first)
	}
	return d, nil
}

func parsePercentiles(node userfile.Node) (Delay, error) {
	var d Delay
	fields, err := node.Mapping("delay", "p50", "p99")
	if err != nil {
		return d, err
	}
	for _, p := range []struct {
		key string
		to  *time.Duration
	}{{"p50", &d.P50}, {"p99", &d.P99}} {
		value, ok := fields[p.key]
		if !ok {
			return d, node.Fault("delay: %q is missing: %s", p.key, delayForms)
		}
		text, err := value.Text(p.key)
		if err != nil {
			return d, err
		}
		if *p.to, err = parseTime(text); err != nil || *p.to == 0 {
			return d, value.Fault("delay: %s: %q: write a time above 0 such as 20ms, at most %v", p.key, text, maxDelay)
		}
	}
	if d.P99 < d.P50 {
		return d, node.Fault("delay: p99 is below p50: write the larger one as p99")
	}
	return d, nil
}

var errTooLong = fmt.Errorf("write at most %v; `fault: hang` never answers", maxDelay)

func parseTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, err
	case d < 0:
		return 0, errors.New("negative")
	case d > maxDelay:
		return 0, errTooLong
	}
	return d, nil
}

// Package clock tells what it costs to look at the clock.
package clock

import (
	"slices"
	"time"
)

const (
	// A pair of readings costs some tens of nanoseconds, about as much as the
	// clock resolves on some machines: many are timed at once.
	pairs = 32
	// The median of this many batches shrugs off those that an interrupt hit.
	batches = 51
	// budget bounds the measurement where a reading costs microseconds,
	// as it does with the hpet and acpi_pm clock sources.
	budget = 300 * time.Microsecond
)

// PairCost is the median cost of reading the clock before and after
// something, in the way that latency is taken.
func PairCost() time.Duration {
	var costs [batches]float64
	taken := 0
	began := time.Now()
	for taken < batches && (taken == 0 || time.Since(began) < budget) {
		batch := time.Now()
		for range pairs {
			start := time.Now()
			_ = time.Since(start)
		}
		costs[taken] = float64(time.Since(batch)) / pairs
		taken++
	}
	slices.Sort(costs[:taken])
	return time.Duration(costs[taken/2])
}

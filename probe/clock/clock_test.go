package clock

import (
	"testing"
	"time"
)

func TestAPairOfReadingsCostsSomething(t *testing.T) {
	if cost := PairCost(); cost <= 0 || cost > time.Millisecond {
		t.Errorf("reading the clock twice costs %v", cost)
	}
}

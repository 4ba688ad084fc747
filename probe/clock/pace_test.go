package clock

import "testing"

func TestThePaceIsThatOfArithmetic(t *testing.T) {
	least := Pace()
	for range 20 {
		least = min(least, Pace())
	}
	// At a step of three shifts and three exclusive ors a processor of 10 GHz takes
	// 6 µs, and none is so slow that it takes 100 ns a step.
	if perStep := float64(least.Nanoseconds()) / paceSteps; perStep < 0.3 || perStep > 100 {
		t.Errorf("a step takes %.2f ns", perStep)
	}
}

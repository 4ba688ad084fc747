package database

import (
	"testing"

	"github.com/loopcheck/loopcheck/lab/surroundings"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// The servers run for whoever asks, with namespaces and without.
func TestEveryKindOfUserIsServed(t *testing.T) {
	surroundings.Everywhere(t, func(t *testing.T, _ surroundings.Kind) { spec.RunUnderGoTest(t, "database") })
}

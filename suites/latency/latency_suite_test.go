package latency

import (
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec"
)

func TestLatency(t *testing.T) { spec.RunUnderGoTest(t, "latency") }

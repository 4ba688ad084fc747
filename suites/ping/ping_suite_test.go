package ping

import (
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec"
)

func TestPing(t *testing.T) { spec.RunUnderGoTest(t, "ping") }

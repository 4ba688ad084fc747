package udp

import (
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec"
)

func TestUDP(t *testing.T) { spec.RunUnderGoTest(t, "udp") }

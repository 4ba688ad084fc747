package tcp

import (
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec"
)

func TestTCP(t *testing.T) { spec.RunUnderGoTest(t, "tcp") }

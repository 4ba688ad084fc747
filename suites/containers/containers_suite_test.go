package containers

import (
	"testing"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	m.Run()
}

func TestContainers(t *testing.T) { spec.RunUnderGoTest(t, "containers") }

package names

import (
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	m.Run()
}

func TestNames(t *testing.T) { spec.RunUnderGoTest(t, "names") }

// Nothing is sent.
var _ = flowtest.Expect(func(string) []check.Flow { return nil })

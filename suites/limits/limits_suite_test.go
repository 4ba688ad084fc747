package limits

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

func TestLimits(t *testing.T) { spec.RunUnderGoTest(t, "limits") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	switch id {
	case "LIM-004":
		return []check.Flow{flowtest.To("udp", "127.0.0.1:0")}
	case "LIM-016":
		return []check.Flow{flowtest.To("udp", "[::1]:0"), flowtest.To("tcp", "[::1]:0")}
	}
	return nil // they send in a sandbox, or nothing
})

package tcp

import (
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

func TestTCP(t *testing.T) { spec.RunUnderGoTest(t, "tcp") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	if id == "TCP-072" {
		return nil // it sends in a sandbox
	}
	return []check.Flow{flowtest.To("tcp", "127.0.0.1:0")}
})

package tcp

import (
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

func TestTCP(t *testing.T) { spec.RunUnderGoTest(t, "tcp") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	if inSandbox(id) {
		return nil
	}
	switch id {
	case "TCP-017":
		return accAnyFlows()
	case "TCP-019", "TCP-028", "TCP-039", "TCP-044", "TCP-068", "TCP-074", "TCP-075", "TCP-077", "TCP-078", "TCP-080", "TCP-081":
		return nil // they connect to nobody
	}
	return []check.Flow{flowtest.To("tcp", "127.0.0.1:0")}
})

// inSandbox says whether the check sends nothing on the host.
func inSandbox(id string) bool {
	c, _ := check.Lookup(id)
	return c.Sandboxed
}

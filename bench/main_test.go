package bench

import (
	"testing"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func TestMain(m *testing.M) {
	Main()
	sandbox.Main()
	playParent()
	m.Run()
}

package stage

import (
	"os"
	"testing"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

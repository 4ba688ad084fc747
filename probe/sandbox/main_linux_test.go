package sandbox

import (
	"fmt"
	"os"
	"testing"
)

// playStarter is the first argument by which the test binary becomes a process
// that starts a sandbox, says so, and waits.
const playStarter = "sandbox-starter"

func TestMain(m *testing.M) {
	Main()
	if os.Args[0] == playStarter {
		if err := playStart(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	m.Run()
}

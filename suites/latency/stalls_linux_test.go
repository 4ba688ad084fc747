package latency

import (
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// What waits for a processor that others have is no stall of the stack.
func TestBusyProcessorsAreNoStall(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell to keep the processors busy")
	}
	// This test runs in the process that Outcomes starts as well, which ends without
	// its cleanup: the kernel ends what it started, with the thread that did.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range runtime.NumCPU() {
		hog := exec.CommandContext(t.Context(), sh, "-c", "while :; do :; done")
		hog.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := hog.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = hog.Wait() }) // the context has killed it
	}
	outcomes := damage.Outcomes(t, nil, "LAT-005")
	NewWithT(t).Expect(outcomes).To(HaveKeyWithValue("LAT-005", HaveField("State", BeElementOf(check.Pass, check.Inconclusive))))
}

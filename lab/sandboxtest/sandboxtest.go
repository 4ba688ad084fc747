// Package sandboxtest gives tests sandboxes, and what they ask of the machine
// that those are made on.
package sandboxtest

import (
	"errors"
	"os"
	"testing"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// Start starts a sandbox that ends with the test. It skips the test where this
// machine gives its user none.
func Start(t testing.TB, config sandbox.Config) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.Start(t.Context(), config)
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// HasIPv6 says whether the kernel has IPv6, and so a sandbox ::1.
func HasIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

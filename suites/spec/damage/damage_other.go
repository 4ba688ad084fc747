//go:build !linux

package damage

import (
	"runtime"
	"testing"
)

func outcomes(t *testing.T, _ Case) (map[string]Outcome, float64) {
	t.Helper()
	t.Skipf("a private network namespace is Linux's own; this is %s", runtime.GOOS)
	return nil, 0
}

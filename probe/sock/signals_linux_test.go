package sock

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUndisturbed(t *testing.T) {
	masked := func() bool {
		var now unix.Sigset_t
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &now); err != nil {
			t.Fatal(err)
		}
		return now.Val[0]&(1<<(unix.SIGURG-1)) != 0
	}
	said := errors.New("said")
	err := Undisturbed(func() error {
		if !masked() {
			t.Error("Go's own signals come through")
		}
		return said
	})
	if !errors.Is(err, said) {
		t.Errorf("got %v", err)
	}
}

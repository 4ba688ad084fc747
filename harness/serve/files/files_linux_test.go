package files

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatMayNotBeRead(t *testing.T) {
	h := handlerOf(t, map[string]string{"a.txt": "hello"})
	if err := h.Root.Chmod("a.txt", 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		// Root may read everything, but not a thread that asks for files as nobody
		// (capabilities(7), effect of user ID changes).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		const nobody = 65534
		askAs(nobody)
		defer askAs(0)
	}
	if got := ask(t, h, "/a.txt"); got.StatusCode != 403 || bodyOf(t, got) != "not allowed to read /a.txt\n" {
		t.Errorf("got %d", got.StatusCode)
	}
}

// askAs has files asked for as a user, by this thread (setfsuid(2)), which tells the
// user before and no error.
func askAs(uid uintptr) { _, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, uid, 0, 0) }

package sock

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lookInterval is how often a thread is looked at that is to fall asleep:
// nothing tells when it does.
const lookInterval = 200 * time.Microsecond

// StartBlocked makes a call on a thread of its own and returns when that waits
// in the kernel (proc_pid_syscall(5)); the channel is closed when the call has
// returned. The error wraps ErrDidNotWait where the call has returned already,
// and fs.ErrNotExist where there is no /proc to look at. The call need not heed
// the context: that bounds only how long it may take to fall asleep.
func StartBlocked(ctx context.Context, call func()) (returned <-chan struct{}, err error) {
	thread, over := make(chan int, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(over)
		thread <- unix.Gettid()
		call()
	}()
	file := fmt.Sprintf("/proc/self/task/%d/syscall", <-thread)
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	for {
		text, err := os.ReadFile(file)
		select {
		case <-over:
			// The thread may be doing something else by now.
			return over, ErrDidNotWait
		default:
		}
		if err == nil && waits(string(text)) {
			return over, nil
		}
		select {
		case <-over:
		case <-ctx.Done():
			return over, fmt.Errorf("wait for a call to block: %w", ctx.Err())
		case <-look.C:
		}
		if err != nil {
			return over, fmt.Errorf("see whether a call blocks: %w", err)
		}
	}
}

// waits says whether a thread is in a system call that puts it to sleep. What
// the Go runtime itself waits with is none.
func waits(text string) bool {
	number, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	call, err := strconv.Atoi(number)
	return err == nil && call >= 0 && call != unix.SYS_FUTEX
}

package sock

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SendSeeingSignal makes one send and says whether that raised SIGPIPE, without
// letting the signal through to the process: the kernel raises it in the thread
// that sends, which blocks it for the time and takes what came (pipe(7),
// signalfd(2)). What the kernel says of the send itself is sendErr.
func (s *Socket) SendSeeingSignal(p []byte, flags Flag) (raised bool, sendErr, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var pipe, before unix.Sigset_t
	pipe.Val[0] = 1 << (unix.SIGPIPE - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &pipe, &before); err != nil {
		return false, nil, fmt.Errorf("block SIGPIPE: %w", err)
	}
	defer func() {
		if restored := unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil); restored != nil {
			err = errors.Join(err, fmt.Errorf("let SIGPIPE through again: %w", restored))
		}
	}()
	arrivals, err := unix.Signalfd(-1, &pipe, unix.SFD_NONBLOCK|unix.SFD_CLOEXEC)
	if err != nil {
		return false, nil, fmt.Errorf("watch for SIGPIPE: %w", err)
	}
	defer unix.Close(arrivals)

	_, sendErr = s.TrySend(p, flags)
	signal := make([]byte, unsafe.Sizeof(unix.SignalfdSiginfo{}))
	err = uninterrupted(func() error {
		_, err := unix.Read(arrivals, signal)
		return err
	})
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return false, sendErr, nil
	case err != nil:
		return false, sendErr, fmt.Errorf("look for SIGPIPE: %w", err)
	}
	return true, sendErr, nil
}

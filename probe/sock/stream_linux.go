package sock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ready is Poll that does not wait: it returns what is there now, 0 for
// nothing.
func (s *Socket) Ready(events Event) (Event, error) {
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: events.numbers()}}
	err := uninterrupted(func() error {
		_, err := unix.Poll(fds, 0)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("poll for %s: %w", events, err)
	}
	return seen(fds[0].Revents), nil
}

func (e Event) numbers() int16 {
	var numbers int16
	for _, n := range eventNumbers {
		if e&n.event != 0 {
			numbers |= n.number
		}
	}
	return numbers
}

// SendParts makes one send of several parts, of which some may be empty
// (sendmsg(2)).
func (s *Socket) SendParts(ctx context.Context, parts [][]byte, flags Flag) (n int, err error) {
	err = s.retry(ctx, Writable, func() (err error) {
		n, err = unix.SendmsgBuffers(s.fd, parts, nil, nil, flags.sending())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("send %d parts over %s: %w", len(parts), s.kind, err)
	}
	return n, nil
}

// RecvParts makes one receive into several parts, of which some may be empty
// (recvmsg(2)).
func (s *Socket) RecvParts(ctx context.Context, parts [][]byte, flags Flag) (n int, err error) {
	err = s.retry(ctx, Readable, func() (err error) {
		n, _, _, _, err = unix.RecvmsgBuffers(s.fd, parts, nil, flags.number())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("receive %d parts over %s: %w", len(parts), s.kind, err)
	}
	return n, nil
}

// MemoryFile is a file that has no name and lies in memory (memfd_create(2)).
func MemoryFile(contents []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("loopcheck", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "memory")
	if _, err := f.Write(contents); err != nil {
		f.Close()
		return nil, fmt.Errorf("fill a file in memory: %w", err)
	}
	return f, nil
}

// SendFile has the kernel send count bytes of a file from an offset on
// (sendfile(2)), in as many calls as it takes, and returns how many it took.
func (s *Socket) SendFile(ctx context.Context, f *os.File, offset int64, count int) (sent int, err error) {
	from := int(f.Fd())
	for sent < count {
		var n int
		err := s.retry(ctx, Writable, func() (err error) {
			n, err = unix.Sendfile(s.fd, from, &offset, count-sent)
			return err
		})
		sent += max(n, 0)
		if err != nil {
			return sent, fmt.Errorf("send a file over %s, after %d of %d bytes: %w", s.kind, sent, count, err)
		}
		if n == 0 {
			return sent, fmt.Errorf("send a file over %s: its end came after %d of %d bytes", s.kind, sent, count)
		}
	}
	return sent, nil
}

// Completion takes the next completion of sends with WithoutCopy from the
// socket's error queue without waiting, nil for none. Poll reports Failed when
// one is there.
func (s *Socket) Completion() (*Completion, error) {
	control := make([]byte, controlBytes)
	var told int
	err := uninterrupted(func() (err error) {
		_, told, _, _, err = unix.Recvmsg(s.fd, nil, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		return err
	})
	if errors.Is(err, syscall.EAGAIN) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the error queue of a %s socket: %w", s.kind, err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:told])
	if err != nil {
		return nil, fmt.Errorf("read the error queue of a %s socket: %w", s.kind, err)
	}
	for _, m := range messages {
		if len(m.Data) < int(unsafe.Sizeof(unix.SockExtendedErr{})) {
			continue
		}
		e := (*unix.SockExtendedErr)(unsafe.Pointer(&m.Data[0]))
		if e.Origin == unix.SO_EE_ORIGIN_ZEROCOPY && e.Errno == 0 {
			return &Completion{First: e.Info, Last: e.Data, Copied: e.Code&unix.SO_EE_CODE_ZEROCOPY_COPIED != 0}, nil
		}
	}
	return nil, fmt.Errorf("read the error queue of a %s socket: it holds no completion of a send", s.kind)
}

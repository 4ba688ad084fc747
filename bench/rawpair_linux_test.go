package bench

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A listener whose queue is full lets no SYN be answered (listen(2)).
func TestAConnectionThatNobodyAnswersIsGivenUp(t *testing.T) {
	t.Parallel()
	listener, at, err := opened(unix.SOCK_STREAM, loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	if err := unix.Listen(listener, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		fd, _, err := opened(unix.SOCK_STREAM, loopback)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := connect(fd, at); errors.Is(err, os.ErrDeadlineExceeded) != (i > 0) {
			t.Errorf("connection %d: error is %v", i+1, err)
		}
	}
}

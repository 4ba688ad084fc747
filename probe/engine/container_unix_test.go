//go:build unix

package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// patience bounds the wait for what takes a second or two.
const patience = time.Minute

// helper is a command that holds what it inherits until the test ends.
func helper(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "until")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	until, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = until.Close() })
	return "cat " + path
}

// A container that ended by itself is not waited for, nor removed by force, where a
// helper of the engine goes on and holds what its command says.
func TestWhoHoldsWhatACommandSaysIsNotWaitedFor(t *testing.T) {
	commands := recording(t, fmt.Sprintf(`case $1 in
run) %s </dev/null >/dev/null & echo '{}'; exec cat >/dev/null ;;
esac
`, helper(t)))
	g := NewWithT(t)
	s := startedSession(t)
	_, err := s.Run(t.Context(), Options{})
	g.Expect(err).NotTo(HaveOccurred())
	ended := make(chan error, 1)
	go func() { ended <- s.Close(t.Context()) }()
	g.Eventually(ended).WithTimeout(patience).Should(Receive(BeNil()))
	g.Expect(commands()).NotTo(ContainSubstring("rm --force " + s.name))
}

// Nor is who holds what a container answers, where nobody waits for that any more.
func TestWhoHoldsAnAnswerIsNotWaitedFor(t *testing.T) {
	commands := recording(t, fmt.Sprintf(`case $1 in
run) %s </dev/null & exec cat >/dev/null ;;
esac
`, helper(t)))
	g := NewWithT(t)
	s := startedSession(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := s.Run(ctx, Options{})
		ended <- err
	}()
	g.Eventually(commands).WithTimeout(patience).Should(ContainSubstring("run --rm"))
	cancel()
	g.Eventually(ended).WithTimeout(patience).Should(Receive(MatchError(context.Canceled)))
	g.Expect(s.Close(t.Context())).To(Succeed())
	g.Expect(commands()).To(ContainSubstring("rm --force "+s.name), "the command was killed, so the container is removed")
}

package sock

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

func TestSocketOfAnotherUserBelongsToThem(t *testing.T) {
	const other = 65534
	g := NewWithT(t)
	s, err := NewOwned(TCP, IPv4, other)
	if err != nil {
		g.Expect(err).To(MatchError(unix.EPERM))
		t.Skip(err)
	}
	defer s.Close()
	owner := func(s *Socket) int {
		var about unix.Stat_t
		g.Expect(unix.Fstat(s.fd, &about)).To(Succeed())
		return int(about.Uid)
	}
	g.Expect(owner(s)).To(Equal(other))
	// Every other thread is who it was.
	for range 32 {
		mine, err := New(TCP, IPv4)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(owner(mine)).To(Equal(os.Geteuid()))
		g.Expect(mine.Close()).To(Succeed())
	}
}

func TestSocketOfAUserThatDoesNotExistIsRefused(t *testing.T) {
	const nobody = 1<<31 - 2
	g := NewWithT(t)
	s, err := NewOwned(TCP, IPv4, nobody)
	if err != nil {
		g.Expect(err).To(MatchError(unix.EPERM))
		return
	}
	// Every ID exists here. In a user namespace that has root alone it does not.
	g.Expect(s.Close()).To(Succeed())
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	only := []syscall.SysProcIDMap{{Size: 1}}
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: only, GidMappings: only}
	output, err := again.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skip("user namespaces are refused: ", err)
	}
	g.Expect(err).NotTo(HaveOccurred(), string(output))
}

func TestSendToReportsWhatTheKernelSays(t *testing.T) {
	g := NewWithT(t)
	receiver, err := New(UDP, IPv4)
	g.Expect(err).NotTo(HaveOccurred())
	defer receiver.Close()
	g.Expect(receiver.Bind(IPv4.Loopback(0))).To(Succeed())
	to, err := receiver.LocalAddr()
	g.Expect(err).NotTo(HaveOccurred())
	sender, err := New(UDP, IPv4)
	g.Expect(err).NotTo(HaveOccurred())
	defer sender.Close()
	g.Expect(sender.TrySendTo([]byte("here"), to, 0)).To(Equal(4))
	_, err = sender.TrySendTo([]byte("nowhere"), IPv4.Loopback(0), 0)
	g.Expect(err).To(MatchError(unix.EINVAL))
}

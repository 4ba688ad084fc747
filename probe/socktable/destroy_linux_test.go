package socktable_test

import (
	"net/netip"
	"runtime"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

func TestDestroyEndsOneConnection(t *testing.T) {
	root(t, "for a network namespace of its own")
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	missing(t, unix.Unshare(unix.CLONE_NEWNET))
	g := NewWithT(t)
	g.Expect(iface.Raise("lo")).To(Succeed())
	l, addr := listener(t, "127.0.0.1:0", 2)
	fd, local := connected(t, unix.SOCK_STREAM, addr)
	accept(t, l)
	g.Expect(socktable.Destroy(bounded(t), local, netip.MustParseAddrPort("127.0.0.1:1"))).To(MatchError(unix.ENOENT))
	err := socktable.Destroy(bounded(t), local, addr)
	missing(t, err)
	_, _, err = unix.Recvfrom(fd, make([]byte, 1), unix.MSG_DONTWAIT)
	g.Expect(err).To(MatchError(unix.ECONNABORTED))
}

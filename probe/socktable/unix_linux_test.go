package socktable_test

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

func TestUnixPairsAreListed(t *testing.T) {
	for number, kind := range map[int]socktable.UnixType{
		unix.SOCK_STREAM: socktable.Stream, unix.SOCK_DGRAM: socktable.Datagram, unix.SOCK_SEQPACKET: socktable.SeqPacket,
	} {
		t.Run(kind.String(), func(t *testing.T) {
			g := NewWithT(t)
			pair, err := unix.Socketpair(unix.AF_UNIX, number|unix.SOCK_CLOEXEC, 0)
			g.Expect(err).NotTo(HaveOccurred())
			t.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
			g.Expect(unix.Write(pair[0], []byte("hello"))).To(Equal(5))
			g.Expect(unix.Shutdown(pair[1], unix.SHUT_WR)).To(Succeed())

			table := read(t, withOwners)
			a, b := find(t, table, pair[0]), find(t, table, pair[1])
			g.Expect(b.Protocol).To(Equal(socktable.Unix))
			g.Expect(b.Unix.Type).To(Equal(kind))
			g.Expect(b.Unix.Name).To(BeEmpty())
			g.Expect(b.Unix.Peer).To(Equal(a.Inode))
			g.Expect(b.State).To(Equal(sock.Established))
			g.Expect(b.ReceiveQueue).To(BeEquivalentTo(5))
			g.Expect(a.SendQueue).To(BeNumerically(">=", 5), "not read yet")
			g.Expect(b.Shutdown & socktable.ShutdownWrite).NotTo(BeZero())
			g.Expect(b.UID).To(BeEquivalentTo(os.Geteuid()))
			g.Expect(b.Cookie).To(Equal(cookieOf(t, pair[1])))
			g.Expect(b.Listens()).To(BeFalse())
			expectMine(t, b, pair[1])
		})
	}
}

func TestUnixListenerIsListedWithItsQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	for name, c := range map[string]struct {
		bind, name string
		abstract   bool
	}{
		"path":     {path, path, false},
		"abstract": {"@socktable-test\x00\x1b", "socktable-test\x00\x1b", true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			l := open(t, unix.AF_UNIX, unix.SOCK_STREAM, 0)
			g.Expect(unix.Bind(l, &unix.SockaddrUnix{Name: c.bind})).To(Succeed())
			g.Expect(unix.Listen(l, 3)).To(Succeed())
			client := open(t, unix.AF_UNIX, unix.SOCK_STREAM, 0)
			g.Expect(unix.Connect(client, &unix.SockaddrUnix{Name: c.bind})).To(Succeed())

			table := read(t, withOwners)
			s := find(t, table, l)
			g.Expect(s.State).To(Equal(sock.Listening))
			g.Expect(s.Listens()).To(BeTrue())
			g.Expect(s.Unix.Name).To(Equal(c.name))
			g.Expect(s.Unix.Abstract).To(Equal(c.abstract))
			g.Expect(s.ReceiveQueue).To(BeEquivalentTo(1), "a connection waits to be accepted")
			g.Expect(s.SendQueue).To(BeEquivalentTo(3), "the backlog")
			expectMine(t, s, l)
			if !c.abstract {
				var stat unix.Stat_t
				g.Expect(unix.Stat(path, &stat)).To(Succeed())
				g.Expect(s.Unix.PathInode).To(BeEquivalentTo(uint32(stat.Ino)))
			}
		})
	}
}

func TestNamedDatagramSocketListens(t *testing.T) {
	g := NewWithT(t)
	fd := open(t, unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	path := filepath.Join(t.TempDir(), "log")
	g.Expect(unix.Bind(fd, &unix.SockaddrUnix{Name: path})).To(Succeed())
	s := find(t, read(t, socktable.Options{Protocols: []socktable.Protocol{socktable.Unix}}), fd)
	g.Expect(s.Listens()).To(BeTrue())
	g.Expect(s.String()).To(HavePrefix("unix dgram " + path + " UNCONN (uid "))
}

package socktable

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func answer(messages ...netlink.Message) iter.Seq2[netlink.Message, error] {
	return func(yield func(netlink.Message, error) bool) {
		for _, m := range messages {
			if !yield(m, nil) {
				return
			}
		}
	}
}

func entry(sequence uint32, flags netlink.HeaderFlags, data string) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Sequence: sequence, Flags: flags},
		Data:   []byte(data),
	}
}

func TestTornListIsTold(t *testing.T) {
	g := NewWithT(t)
	var got []string
	add := func(b []byte) error { got = append(got, string(b)); return nil }
	g.Expect(collect(answer(entry(7, 0, "a"), entry(6, netlink.DumpInterrupted, "stale"), entry(7, 0, "b")), 7, add)).To(Succeed())
	g.Expect(got).To(Equal([]string{"a", "b"}))
	got = nil
	torn := answer(entry(7, netlink.DumpInterrupted, "a"), entry(7, 0, "b"))
	g.Expect(collect(torn, 7, add)).To(MatchError(errTorn))
	g.Expect(got).To(Equal([]string{"a", "b"}), "what there is of it")

	failed := errors.New("failed")
	g.Expect(collect(torn, 7, func([]byte) error { return failed })).To(MatchError(failed))
}

func TestTornListIsAskedForAgain(t *testing.T) {
	g := NewWithT(t)
	tries := 0
	g.Expect(untorn(func() error {
		if tries++; tries < 3 {
			return errTorn
		}
		return nil
	})).To(Succeed())
	g.Expect(tries).To(Equal(3))
	tries = 0
	g.Expect(untorn(func() error { tries++; return errTorn })).To(MatchError(errTorn))
	g.Expect(tries).To(Equal(dumpTries))
	tries = 0
	g.Expect(untorn(func() error { tries++; return unix.EPERM })).To(MatchError(unix.EPERM))
	g.Expect(tries).To(Equal(1))
}

// A kernel that does not answer would be waited for as long as the context.
func TestContextEndsTheWait(t *testing.T) {
	for name, limit := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Millisecond)
		},
		"cancellation": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			d, err := openDiag()
			g.Expect(err).NotTo(HaveOccurred())
			defer d.close()
			ctx, cancel := limit(t.Context())
			defer cancel()
			stop := d.endWith(ctx)
			defer stop()
			// Nothing was asked, so nothing arrives.
			err = cause(ctx, collect(d.conn.ReceiveIter(), 1, func([]byte) error { return nil }))
			g.Expect(err).To(MatchError(ctx.Err()))
			g.Expect(ctx.Err()).To(HaveOccurred())
		})
	}
}

func TestUnlistedProtocolIsNamed(t *testing.T) {
	g := NewWithT(t)
	d, err := openDiag()
	g.Expect(err).NotTo(HaveOccurred())
	defer d.close()
	const unassigned = 254
	r := reader{diag: d, table: &Table{}, seen: map[uint64]struct{}{}, states: ^uint32(0)}
	for file, want := range map[string]int{"": 1, "no-such-file": 2} {
		gap, err := r.list(bounded(t), inetKind(Raw, sock.IPv4, unassigned, file))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(gap.Listed).To(BeFalse())
		g.Expect(gap.Err).To(MatchError(unix.ENOENT))
		g.Expect(gap.String()).To(HavePrefix("raw over IPv4 not listed: ask sock_diag: "))
		joined, many := gap.Err.(interface{ Unwrap() []error })
		g.Expect(many).To(Equal(want == 2))
		if many {
			g.Expect(joined.Unwrap()).To(HaveLen(want))
		}
	}
	g.Expect(r.table.Sockets).To(BeEmpty())
}

// Without sock_diag, as in a sandbox that refuses it, the files remain.
func TestFilesStandInForSockDiag(t *testing.T) {
	g := NewWithT(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	g.Expect(err).NotTo(HaveOccurred())
	defer unix.Close(fd)
	g.Expect(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})).To(Succeed())
	g.Expect(unix.Listen(fd, 1)).To(Succeed())
	var stat unix.Stat_t
	g.Expect(unix.Fstat(fd, &stat)).To(Succeed())

	r := reader{
		diagErr: unix.EPERM, table: &Table{}, seen: map[uint64]struct{}{},
		states: stateMask([]sock.TCPState{sock.Listening}),
	}
	var gaps []*Gap
	for _, k := range kinds {
		gap, err := r.list(bounded(t), k)
		g.Expect(err).NotTo(HaveOccurred())
		if gap != nil {
			gaps = append(gaps, gap)
		}
	}
	g.Expect(gaps).To(HaveEach(HaveField("Err", MatchError(unix.EPERM))))
	for _, gap := range gaps {
		g.Expect(gap.Listed).To(Equal(gap.Protocol != Unix), "%s", gap)
	}
	g.Expect(slices.ContainsFunc(r.table.Sockets, func(s Socket) bool { return s.Inode == uint32(stat.Ino) })).To(BeTrue())
	g.Expect(r.table.Sockets).To(HaveEach(HaveField("State", sock.Listening)))
}

func TestSocketIsListedOnce(t *testing.T) {
	g := NewWithT(t)
	r := reader{table: &Table{}, seen: map[uint64]struct{}{}}
	for range 2 {
		for _, b := range replies(t, inetReplies) {
			g.Expect(r.decode(kind{protocol: TCP}, b)).To(Succeed())
		}
	}
	g.Expect(r.table.Sockets).To(HaveLen(len(inetReplies)))
}

func TestOwnersOfSharedInodes(t *testing.T) {
	g := NewWithT(t)
	sockets := []Socket{{Inode: 5}, {Inode: 6}, {}, {Inode: 5}, {Inode: 8}}
	s := newOwnerSearch(sockets)
	s.found(5, 3)
	s.found(7, 4) // not listed
	s.found(6, 5)
	s.found(5, 9)
	s.processes = append(s.processes, Owner{PID: 10})
	s.found(5, 1)
	s.processes = append(s.processes, Owner{PID: 11})
	s.assign()
	both := []Owner{{PID: 10, FDs: []int{3, 9}}, {PID: 11, FDs: []int{1}}}
	g.Expect(sockets[0].Owners).To(Equal(both))
	g.Expect(sockets[3].Owners).To(Equal(both), "of the same MPTCP socket")
	g.Expect(sockets[1].Owners).To(Equal([]Owner{{PID: 10, FDs: []int{5}}}))

	for want, table := range map[Ownership]Table{
		NotInSight: {},
		NotAllowed: {Unreadable: 1},
	} {
		g.Expect(table.ownership(&sockets[4])).To(Equal(want))
		g.Expect(table.ownership(&sockets[2])).To(Equal(NoProcess))
		g.Expect(table.ownership(&sockets[0])).To(Equal(Owned))
	}
	g.Expect((&Table{HiddenProcesses: true}).ownership(&sockets[4])).To(Equal(NotAllowed))
}

func TestVanishedProcessIsNoError(t *testing.T) {
	g := NewWithT(t)
	w, err := openProc()
	g.Expect(err).NotTo(HaveOccurred())
	defer w.close()
	s := newOwnerSearch(nil)
	// No process can have it: it is above the largest PID_MAX_LIMIT (proc(5)).
	const nobody = 1<<22 + 1
	g.Expect(vanished(w.process(t.Context(), nobody, s))).To(BeTrue())
	_, err = w.describe(nobody)
	g.Expect(vanished(err)).To(BeTrue())
	_, err = w.socketInode(w.proc, []byte("no-such-file\x00"))
	g.Expect(vanished(err)).To(BeTrue())
}

package socktable

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// procNet is that of the calling thread: /proc/net shows the namespace of the
// process's first thread, which may be another.
const procNet = "/proc/thread-self/net/"

// kind is what the kernel lists in one answer.
type kind struct {
	protocol Protocol
	family   sock.Family
	// request asks sock_diag for it.
	request func(states uint32) []byte
	// file lists it in procNet as well, "" for none.
	file string
}

func inetKind(protocol Protocol, family sock.Family, number uint8, file string) kind {
	domain := uint8(familyIPv4)
	if family == sock.IPv6 {
		domain = familyIPv6
	}
	request := func(states uint32) []byte { return inetRequest(domain, number, states) }
	return kind{protocol, family, request, file}
}

var kinds = []kind{
	inetKind(TCP, sock.IPv4, unix.IPPROTO_TCP, "tcp"),
	inetKind(TCP, sock.IPv6, unix.IPPROTO_TCP, "tcp6"),
	inetKind(UDP, sock.IPv4, unix.IPPROTO_UDP, "udp"),
	inetKind(UDP, sock.IPv6, unix.IPPROTO_UDP, "udp6"),
	inetKind(Raw, sock.IPv4, unix.IPPROTO_RAW, "raw"),
	inetKind(Raw, sock.IPv6, unix.IPPROTO_RAW, "raw6"),
	{protocol: Unix, request: unixRequest},
}

// Read lists the sockets of the calling thread's network namespace. It fails
// when the context ends, when it can list nothing of what was asked for, and,
// with Options.Owners, when /proc cannot be read at all.
func Read(ctx context.Context, o Options) (*Table, error) {
	for _, p := range o.Protocols {
		if !slices.ContainsFunc(kinds, func(k kind) bool { return k.protocol == p }) {
			return nil, fmt.Errorf("list sockets of %s: no such table", p)
		}
	}
	r := reader{states: stateMask(o.States), table: &Table{}, seen: map[uint64]struct{}{}}
	r.diag, r.diagErr = openDiag()
	if r.diagErr == nil {
		defer r.diag.close()
	}
	listed, missing := 0, []error(nil)
	for _, k := range kinds {
		if len(o.Protocols) > 0 && !slices.Contains(o.Protocols, k.protocol) {
			continue
		}
		gap, err := r.list(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("list %s sockets: %w", k.protocol, err)
		}
		if gap != nil {
			r.table.Gaps = append(r.table.Gaps, *gap)
		}
		if gap == nil || gap.Listed {
			listed++
		} else {
			missing = append(missing, fmt.Errorf("list %s sockets: %w", k.protocol, gap.Err))
		}
	}
	if listed == 0 {
		return nil, errors.Join(missing...)
	}
	r.table.nameInterfaces()
	if o.Owners {
		if err := r.table.readOwners(ctx); err != nil {
			return nil, err
		}
	}
	return r.table, nil
}

// reader builds a table.
type reader struct {
	states  uint32
	diag    *diag
	diagErr error
	table   *Table
	// seen holds the cookies of the sockets in the table. A list is long enough
	// to come in pieces, and a socket that moves between them would be twice in
	// it.
	seen map[uint64]struct{}
}

// list adds what the kernel lists of one kind, by whatever way it offers. The
// error is the context's.
func (r *reader) list(ctx context.Context, k kind) (*Gap, error) {
	begin := len(r.table.Sockets)
	restart := func() {
		for i := range r.table.Sockets[begin:] {
			delete(r.seen, r.table.Sockets[begin+i].Cookie)
		}
		r.table.Sockets = r.table.Sockets[:begin]
	}
	err := r.diagErr
	if err == nil {
		err = r.diag.list(ctx, k.request(r.states), restart, func(message []byte) error { return r.decode(k, message) })
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, errTorn):
		return &Gap{k.protocol, k.family, true, err}, nil
	}
	err = fmt.Errorf("ask sock_diag: %w", err)
	restart()
	if k.protocol != Unix && k.family == sock.IPv6 && !haveIPv6() {
		return nil, nil
	}
	if k.file == "" {
		return &Gap{k.protocol, k.family, false, err}, nil
	}
	if fileErr := r.readFile(k); fileErr != nil {
		restart()
		return &Gap{k.protocol, k.family, false, errors.Join(err, fileErr)}, nil
	}
	return &Gap{k.protocol, k.family, true, err}, nil
}

// haveIPv6 is false where the kernel has no IPv6, and so no sockets of it.
func haveIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return !errors.Is(err, unix.EAFNOSUPPORT)
}

func (r *reader) decode(k kind, message []byte) error {
	var s Socket
	var err error
	if k.protocol == Unix {
		s, err = decodeUnix(message)
	} else {
		s, err = decodeInet(k.protocol, message)
	}
	if err != nil {
		return err
	}
	if _, twice := r.seen[s.Cookie]; twice && s.Cookie != 0 {
		return nil
	}
	r.seen[s.Cookie] = struct{}{}
	r.add(s)
	return nil
}

// add doubles a full table: append alone grows a large one by a quarter, and
// would copy ten thousand sockets five times over.
func (r *reader) add(s Socket) {
	if n := len(r.table.Sockets); n == cap(r.table.Sockets) {
		r.table.Sockets = slices.Grow(r.table.Sockets, n+64)
	}
	r.table.Sockets = append(r.table.Sockets, s)
}

// readFile lists what sock_diag does not. Every kernel has these files, but
// they lack much.
func (r *reader) readFile(k kind) error {
	text, err := os.ReadFile(procNet + k.file)
	if err != nil {
		return err
	}
	_, lines, _ := strings.Cut(string(text), "\n")
	for line := range strings.Lines(lines) {
		s, err := parseProcNet(k.protocol, line)
		if err != nil {
			return fmt.Errorf("read %s%s: %w", procNet, k.file, err)
		}
		if r.states&(1<<s.State) != 0 {
			r.add(s)
		}
	}
	return nil
}

func readFiles(ctx context.Context, o Options) ([]Socket, error) {
	r := reader{states: stateMask(o.States), table: &Table{}}
	for _, k := range kinds {
		if k.file == "" || len(o.Protocols) > 0 && !slices.Contains(o.Protocols, k.protocol) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := r.readFile(k)
		if errors.Is(err, fs.ErrNotExist) && k.family == sock.IPv6 && !haveIPv6() {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s sockets: %w", k.protocol, err)
		}
	}
	return r.table.Sockets, nil
}

func (t *Table) nameInterfaces() {
	names := map[uint32]string{}
	for i := range t.Sockets {
		bound := &t.Sockets[i].Interface
		if bound.Index == 0 {
			continue
		}
		name, known := names[bound.Index]
		if !known {
			// One that is gone by now has no name.
			if found, err := net.InterfaceByIndex(int(bound.Index)); err == nil {
				name = found.Name
			}
			names[bound.Index] = name
		}
		bound.Name = name
	}
}

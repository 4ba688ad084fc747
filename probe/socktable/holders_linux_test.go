package socktable_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// The kernel itself says whether a binding conflicts: it refuses it or not.
func TestHoldersAreThoseThatTheKernelRefusesFor(t *testing.T) {
	addresses := []struct {
		addr   string
		v6only bool
	}{
		{"0.0.0.0", false},
		{"127.0.0.1", false},
		{"127.0.0.2", false},
		{"::", false},
		{"::", true},
		{"::1", false},
		{"::ffff:127.0.0.1", false},
	}
	join := alone(t)
	for protocol, kind := range map[socktable.Protocol]int{socktable.TCP: unix.SOCK_STREAM, socktable.UDP: unix.SOCK_DGRAM} {
		for _, held := range addresses {
			for _, wanted := range addresses {
				name := []string{protocol.String(), held.addr, "then", wanted.addr}
				if held.v6only {
					name[1] += " alone"
				}
				if wanted.v6only {
					name[3] += " alone"
				}
				t.Run(strings.Join(name, " "), func(t *testing.T) {
					join()
					g := NewWithT(t)
					holder := socketFor(t, kind, held.addr, held.v6only)
					port := bind(t, holder, netip.AddrPortFrom(netip.MustParseAddr(held.addr), 0).String()).Port()
					if kind == unix.SOCK_STREAM {
						g.Expect(unix.Listen(holder, 1)).To(Succeed())
					}
					binding := socktable.Binding{
						Protocol: protocol, V6Only: wanted.v6only,
						Local: netip.AddrPortFrom(netip.MustParseAddr(wanted.addr), port),
					}
					found, err := socktable.Holders(bounded(t), binding)
					g.Expect(err).NotTo(HaveOccurred())
					err = unix.Bind(socketFor(t, kind, wanted.addr, wanted.v6only), sockaddr(binding.Local))
					if err == nil {
						g.Expect(found).To(BeEmpty())
						return
					}
					g.Expect(err).To(MatchError(unix.EADDRINUSE))
					// A connection that another test left on the port is right too.
					g.Expect(found).To(ContainElement(Or(
						HaveField("Inode", inodeOf(t, holder)), HaveField("State", sock.TimeWait),
					)))
				})
			}
		}
	}
}

func socketFor(t *testing.T, kind int, addr string, v6only bool) int {
	t.Helper()
	fd := open(t, domainOf(netip.MustParseAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0).String())), kind, 0)
	if v6only {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			t.Fatal(err)
		}
	}
	return fd
}

func TestInterfacesKeepBindingsApart(t *testing.T) {
	g := NewWithT(t)
	held := open(t, unix.AF_INET, unix.SOCK_DGRAM, 0)
	missing(t, unix.SetsockoptString(held, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "lo"))
	addr := bind(t, held, "0.0.0.0:0")
	table := read(t, socktable.Options{Protocols: []socktable.Protocol{socktable.UDP}})
	index := find(t, table, held).Interface.Index
	binding := socktable.Binding{Protocol: socktable.UDP, Local: addr}
	g.Expect(table.Holders(binding)).To(HaveLen(1))
	binding.Interface = index
	g.Expect(table.Holders(binding)).To(HaveLen(1))
	binding.Interface = index + 1
	g.Expect(table.Holders(binding)).To(BeEmpty())
}

func TestConnectionsHoldTheirPortAfterListeners(t *testing.T) {
	alone(t)
	g := NewWithT(t)
	l, addr := listener(t, "127.0.0.1:0", 1)
	_, clientAddr := connected(t, unix.SOCK_STREAM, addr)
	accept(t, l)
	g.Expect(holders(t, clientAddr)).To(ConsistOf(And(
		HaveField("State", sock.Established), HaveField("Remote", addr), HaveField("Ownership", socktable.Owned),
	)))
	// The connection is the newer, and the kernel might list it first.
	states := []sock.TCPState{}
	for _, s := range holders(t, addr) {
		states = append(states, s.State)
	}
	g.Expect(states).To(Equal([]sock.TCPState{sock.Listening, sock.Established}))

	table := read(t, socktable.Options{})
	anyPort := socktable.Binding{Protocol: socktable.TCP, Local: netip.MustParseAddrPort("127.0.0.1:0")}
	g.Expect(table.Holders(anyPort)).To(BeEmpty(), "the kernel chooses a free port")
}

func TestOnlyPortsHaveHolders(t *testing.T) {
	_, err := socktable.Holders(bounded(t), socktable.Binding{Protocol: socktable.Raw})
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("only tcp and udp have ports")))
	NewWithT(t).Expect(errors.Unwrap(err)).To(BeNil())
}

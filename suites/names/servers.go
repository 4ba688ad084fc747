package names

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/hostnames"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/socktable"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	dnsPort = 53
	// serverPatience is how long a server of this machine may leave a question
	// unread. One that lives reads it within milliseconds.
	serverPatience = 2 * time.Second
	// askInterval is how often it is asked, and looked at, in that time.
	askInterval = 500 * time.Millisecond
)

var _ = suite.It("has DNS servers on this machine that read what they are asked", check.Check{
	ID: "NAME-009", Grade: check.GradeWarn, OS: "linux",
	Source: "resolv.conf(5) (timeout, attempts); RFC 4892 (version.bind, which a server answers for itself); sock_diag(7)",
	Asks:   "Of the DNS servers in /etc/resolv.conf, asks each that is on this machine for the version of its software, by UDP and without asking for recursion: no server asks another for that. One that leaves the question in its socket for two seconds has stopped; where an ICMP error says that nobody listens, it is missing, unless names come from systemd-resolved by another way (nss-resolve) or the machine has no network. Servers elsewhere are asked nothing, and where none is here there is nothing to complain of.",
	Why:    "Every name that is not in /etc/hosts is asked of these servers. The C library waits five seconds for each, twice, before it gives up or goes on to the next, so that each connection to a name hangs for ten, and programs report timeouts of whatever they wanted to reach.",
	Causes: []string{
		"systemd-resolved, dnsmasq or unbound was stopped or has crashed, and /etc/resolv.conf still names it",
		"the server hangs: stopped by a signal or a debugger, or waiting for a disk",
		"another program has bound port 53",
	},
	Remedies: []string{
		"see who has the port: `ss -lunp 'sport = :53'`",
		"restart it: `systemctl restart systemd-resolved` (or dnsmasq, unbound, named)",
		"name another server in /etc/resolv.conf",
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	servers := ownServers()
	if len(servers) == 0 {
		spec.Evidence(hostnames.ResolverPath, "all servers that it names are elsewhere, or it names none")
	}
	var wrong []string
	for _, server := range servers {
		to := netip.AddrPortFrom(server.Addr, dnsPort)
		answer, err := askServer(ctx, to)
		Expect(err).NotTo(HaveOccurred())
		switch {
		case answer == unread:
			if how, starved := load.Starved(); starved {
				spec.Inconclusive("the DNS server %v has not read a question within %v, but %s", to, serverPatience, how)
			}
			wrong = append(wrong, fmt.Sprintf("%v: somebody listens there and has not read a question within %v (%s)", to, serverPatience, listening(ctx, to)))
		case answer == refused && expected():
			wrong = append(wrong, fmt.Sprintf("%v: nobody listens there (%s)", to, syscall.ECONNREFUSED))
		default:
			spec.Evidence(to.String(), "%s", answer)
		}
	}
	Expect(wrong).To(BeEmpty(), "DNS servers of %s on this machine that do not answer", hostnames.ResolverPath)
})

// ownServers are the DNS servers of resolv.conf at addresses of this machine.
func ownServers() []hostnames.Server {
	GinkgoHelper()
	text, err := os.ReadFile(hostnames.ResolverPath)
	if !errors.Is(err, os.ErrNotExist) {
		Expect(err).NotTo(HaveOccurred())
	}
	return slices.DeleteFunc(hostnames.ParseServers(string(text)), func(s hostnames.Server) bool {
		own, _, err := iface.Owns(s.Addr)
		return err != nil || !own
	})
}

// expected says whether somebody ought to listen: a network namespace that
// holds lo alone mostly has the file of the machine and not its server, and
// nss-resolve does not ask over the network.
func expected() bool {
	GinkgoHelper()
	others, err := iface.Others()
	Expect(err).NotTo(HaveOccurred())
	text, _ := os.ReadFile(hostnames.SourcesPath) // without it, DNS is asked
	sources, _ := hostnames.ParseSources(string(text))
	return len(others) > 0 && !slices.Contains(sources.Names, "resolve")
}

// reaction is what a server made of a question.
type reaction string

const (
	answered reaction = "answered"
	silent   reaction = "read the question and gave no answer, as some do"
	unseen   reaction = "gave no answer, and no socket of its is in this network namespace"
	unread   reaction = "left the question in its socket"
	refused  reaction = "nobody listens there, where names may come another way"
)

// askServer asks a server of this machine something that it answers from its
// own knowledge.
func askServer(ctx context.Context, to netip.AddrPort) (reaction, error) {
	question, err := versionQuestion()
	if err != nil {
		return "", err
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return "", fmt.Errorf("ask the DNS server %v: %w", to, err)
	}
	defer conn.Close()
	reply := make([]byte, 1232)
	for end := time.Now().Add(serverPatience); ; {
		_, err := conn.Write(question)
		if err == nil {
			if err = conn.SetReadDeadline(time.Now().Add(askInterval)); err != nil {
				return "", err
			}
			_, err = conn.Read(reply)
		}
		switch {
		case err == nil:
			return answered, nil
		case errors.Is(err, syscall.ECONNREFUSED):
			return refused, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return "", fmt.Errorf("ask the DNS server %v: %w", to, err)
		case ctx.Err() != nil:
			return "", ctx.Err()
		}
		sockets, err := serverSockets(ctx, to)
		switch {
		case err != nil:
			return "", err
		case len(sockets) == 0:
			return unseen, nil
		case slices.ContainsFunc(sockets, func(s socktable.Socket) bool { return s.ReceiveQueue == 0 }):
			return silent, nil
		case time.Now().After(end):
			return unread, nil
		}
	}
}

func versionQuestion() ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: uint16(rand.Uint32())})
	err := b.StartQuestions()
	if err == nil {
		err = b.Question(dnsmessage.Question{
			Name: dnsmessage.MustNewName("version.bind."), Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassCHAOS,
		})
	}
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

// serverSockets are those that take what is sent to a DNS server.
func serverSockets(ctx context.Context, to netip.AddrPort) ([]socktable.Socket, error) {
	table, err := socktable.Read(ctx, socktable.Options{Protocols: []socktable.Protocol{socktable.UDP}, Owners: true})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(table.Sockets, func(s socktable.Socket) bool {
		return s.Local.Port() != to.Port() || !s.Takes(to.Addr())
	}), nil
}

func listening(ctx context.Context, to netip.AddrPort) string {
	sockets, err := serverSockets(ctx, to)
	if err != nil {
		return err.Error()
	}
	texts := make([]string, len(sockets))
	for i, s := range sockets {
		texts[i] = s.String()
	}
	return strings.Join(texts, "; ")
}

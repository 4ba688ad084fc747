package resolve

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// Stub is a DNS server that knows few names and notes every question.
type Stub struct {
	conn  *net.UDPConn
	known map[string]netip.Addr
	done  chan struct{}

	mu    sync.Mutex
	asked []string
}

// Serve starts a Stub at an address, which for those that StubResolver sends
// there is 127.0.0.1:53. It knows the IPv4 addresses of some names, each written
// with the dot at its end, and of no other name that it exists.
func Serve(at netip.AddrPort, known map[string]netip.Addr) (*Stub, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("serve DNS: %w", err)
	}
	s := &Stub{conn: conn, known: known, done: make(chan struct{})}
	go s.serve()
	return s, nil
}

// Addr is where it listens.
func (s *Stub) Addr() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Close ends it.
func (s *Stub) Close() error {
	err := s.conn.Close()
	<-s.done
	return err
}

// Asked returns the names that were asked for since it was called last, each
// once, in the order in which they were first asked for.
func (s *Stub) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func (s *Stub) serve() {
	defer close(s.done)
	buf := make([]byte, 1<<12)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		answer, name, err := s.answer(buf[:n])
		if err != nil {
			continue // it was no question
		}
		s.note(name)
		_, _ = s.conn.WriteToUDPAddrPort(answer, from)
	}
}

func (s *Stub) note(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.asked, name) {
		s.asked = append(s.asked, name)
	}
}

// answer makes the answer to a question (RFC 1035 4.1).
func (s *Stub) answer(packet []byte) (answer []byte, name string, err error) {
	var p dnsmessage.Parser
	header, err := p.Start(packet)
	if err != nil {
		return nil, "", err
	}
	q, err := p.Question()
	if err != nil {
		return nil, "", err
	}
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	addr, known := s.known[q.Name.String()]
	switch {
	case !known:
		message.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		message.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
			Body:   &dnsmessage.AResource{A: addr.As4()},
		}}
	}
	answer, err = message.Pack()
	return answer, q.Name.String(), err
}

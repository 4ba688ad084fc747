package spec

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

var addr = netip.MustParseAddrPort("127.0.0.1:80")

// said is what a failed assertion reports.
func said(t *testing.T, assert func(Gomega)) string {
	t.Helper()
	var message string
	assert(NewGomega(func(text string, _ ...int) { message = plain(text) }))
	NewWithT(t).Expect(message).NotTo(BeEmpty(), "the assertion holds")
	return message
}

func TestMessagesHoldWhatWasExpectedAndSeen(t *testing.T) {
	refused := fmt.Errorf("connect to %v: %w", addr, &net.OpError{
		Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr),
		Err: os.NewSyscallError("connect", syscall.ECONNREFUSED),
	})
	refusedText := "connect to 127.0.0.1:80: dial tcp 127.0.0.1:80: connect: " + syscall.ECONNREFUSED.Error()
	for name, c := range map[string]struct {
		assert func(Gomega)
		want   string
	}{
		"an error": {
			func(g Gomega) { g.Expect(refused).NotTo(HaveOccurred(), "reach %v", addr) },
			"reach 127.0.0.1:80\nUnexpected error:\n    " + refusedText,
		},
		"no success": {
			func(g Gomega) { g.Expect(refused).To(Succeed()) },
			"Expected success, but got an error:\n    " + refusedText,
		},
		"another error": {
			func(g Gomega) { g.Expect(refused).To(MatchError(syscall.EPIPE)) },
			"Expected\n    " + refusedText + "\nto match error\n    " + syscall.EPIPE.Error(),
		},
		"several errors": {
			func(g Gomega) { g.Expect(errors.Join(refused, errors.New("twice"), errors.New("twice"))).To(Succeed()) },
			"Expected success, but got an error:\n    " + refusedText + "\n    twice\n    twice",
		},
		"an error beside a value": {
			func(g Gomega) {
				g.Expect(func() (int, error) { return 0, refused }()).To(Equal(1))
			},
			"Unexpected error:\n    " + refusedText,
		},
		"several errors beside a value": {
			func(g Gomega) {
				g.Expect(func() (int, error) { return 0, errors.Join(refused, syscall.EPIPE) }()).To(Equal(1))
			},
			"Unexpected error:\n    " + refusedText + "\n    " + syscall.EPIPE.Error(),
		},
		"an address": {
			func(g Gomega) { g.Expect(addr.Addr()).To(Equal(netip.IPv6Loopback()), "source") },
			"source\nExpected\n    127.0.0.1\nto equal\n    ::1",
		},
		"an address and port": {
			func(g Gomega) { g.Expect(addr).To(Equal(netip.AddrPort{})) },
			"Expected\n    127.0.0.1:80\nto equal\n    invalid AddrPort",
		},
		"a duration": {
			func(g Gomega) { g.Expect(2 * time.Millisecond).To(BeNumerically("<=", time.Millisecond)) },
			"Expected\n    2ms\nto be <=\n    1ms",
		},
		"a moment": {
			func(g Gomega) { g.Expect(time.Unix(0, 0).UTC()).To(BeZero()) },
			"Expected\n    1970-01-01T00:00:00Z\nto be zero-valued",
		},
		"a number":      {func(g Gomega) { g.Expect(3).To(Equal(4)) }, "Expected\n    3\nto equal\n    4"},
		"an empty text": {func(g Gomega) { g.Expect("").To(Equal("x")) }, "Expected\n    \"\"\nto equal\n    x"},
		"a payload": {
			func(g Gomega) { g.Expect([]byte("ab\x00")).To(Equal([]byte("a"))) },
			"Expected\n    \"ab\\x00\" (3 bytes)\nto equal\n    \"a\" (1 bytes)",
		},
		"a long payload": {
			func(g Gomega) { g.Expect(bytes.Repeat([]byte("x"), 65507)).To(BeEmpty()) },
			"Expected\n    \"" + strings.Repeat("x", shownBytes) + "\"… (65507 bytes)\nto be empty",
		},
		"long texts": {
			func(g Gomega) {
				g.Expect(fmt.Sprintf("%064x", 1)).To(Equal(fmt.Sprintf("%064x", 2)))
			},
			fmt.Sprintf("Expected\n    %064x\nto equal\n    %064x", 1, 2),
		},
		"what a structure holds": {
			func(g Gomega) {
				g.Expect(struct {
					Peer *net.TCPAddr
					Next any
				}{net.TCPAddrFromAddrPort(addr), &struct{ Port int }{80}}).To(BeZero())
			},
			"Expected\n    {\n        Peer: 127.0.0.1:80,\n        Next: <*struct { Port int }>{Port: 80},\n    }\nto be zero-valued",
		},
		"a pointer": {
			func(g Gomega) { g.Expect(&struct{ Port int }{80}).To(BeNil()) },
			"Expected\n    {Port: 80}\nto be nil",
		},
		"a reason": {
			func(g Gomega) { g.Expect(false).To(BeTrueBecause("byte %d is wrong", 7)) },
			"byte 7 is wrong",
		},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(said(t, c.assert)).To(Equal(c.want))
		})
	}
}

func TestTextWithoutValuesIsLeftAlone(t *testing.T) {
	for _, text := range []string{"", "broken", "a line\n  <b>: another", "occurred", "1 < 2 > 0"} {
		NewWithT(t).Expect(plain(text)).To(Equal(text))
	}
}

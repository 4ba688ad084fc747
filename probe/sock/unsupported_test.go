//go:build !linux

package sock_test

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestUnsupportedHere(t *testing.T) {
	_, err := sock.New(sock.TCP, sock.IPv4)
	NewWithT(t).Expect(err).To(MatchError(errors.ErrUnsupported))
}

func TestNoPortIsHeldClosedHere(t *testing.T) {
	_, _, err := sock.ClosedUDP(sock.IPv4)
	NewWithT(t).Expect(err).To(MatchError(errors.ErrUnsupported))
}

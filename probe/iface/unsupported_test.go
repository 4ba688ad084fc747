//go:build !linux

package iface_test

import (
	"errors"
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/iface"
)

func TestUnsupportedHere(t *testing.T) {
	g := NewWithT(t)
	_, err := iface.Loopback()
	g.Expect(err).To(MatchError(errors.ErrUnsupported))
	_, err = iface.Others()
	g.Expect(err).To(MatchError(errors.ErrUnsupported))
	_, err = iface.Addresses()
	g.Expect(err).To(MatchError(errors.ErrUnsupported))
	_, err = iface.RouteTo(netip.IPv6Loopback())
	g.Expect(err).To(MatchError(errors.ErrUnsupported))
}

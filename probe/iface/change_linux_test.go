package iface_test

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// changed is an lo that was changed step by step.
type changed struct {
	Given, Taken []iface.Assigned
	TakenTwice   syscall.Errno
	Lowered      bool
	RaisedApart  bool // in a namespace where it was never up
	UpApart      bool // before that
}

var extra = netip.MustParsePrefix("198.51.100.1/32")

var changeLo = sandbox.Register("iface/change", func(_ context.Context, in *sandbox.Inside, _ struct{}) (c changed, err error) {
	// Twice, since it may be there.
	if err := errors.Join(iface.Give("lo", extra), iface.Give("lo", extra)); err != nil {
		return c, err
	}
	if c.Given, err = iface.Addresses(); err != nil {
		return c, err
	}
	if err := iface.Take("lo", extra); err != nil {
		return c, err
	}
	if c.Taken, err = iface.Addresses(); err != nil {
		return c, err
	}
	if err := iface.Take("lo", extra); !errors.As(err, &c.TakenTwice) {
		return c, err
	}
	if err := iface.Lower("lo"); err != nil {
		return c, err
	}
	lo, err := iface.Loopback()
	if err != nil {
		return c, err
	}
	c.Lowered = !lo.Up
	return c, in.Apart(func() error {
		lo, err := iface.Loopback()
		if err != nil {
			return err
		}
		c.UpApart = lo.Up
		if err := iface.Raise("lo"); err != nil {
			return err
		}
		lo, err = iface.Loopback()
		c.RaisedApart = lo.Up
		return err
	})
})

func TestInterfacesOfASandboxAreChanged(t *testing.T) {
	g := NewWithT(t)
	c, err := changeLo.Call(t.Context(), sandboxtest.Start(t, sandbox.Config{}), "", struct{}{})
	g.Expect(err).NotTo(HaveOccurred())
	has := ContainElement(HaveField("Addr", extra.Addr()))
	g.Expect(c.Given).To(has)
	g.Expect(c.Taken).NotTo(has)
	g.Expect(c.TakenTwice).To(Equal(syscall.EADDRNOTAVAIL))
	g.Expect(c.Lowered).To(BeTrue(), "lo was taken down")
	g.Expect(c.UpApart).To(BeFalse(), "lo of a fresh namespace is up")
	g.Expect(c.RaisedApart).To(BeTrue(), "lo of a fresh namespace was set up")
}

package iface_test

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func TestFeaturesOfLoopback(t *testing.T) {
	g := NewWithT(t)
	features, err := iface.Features("lo")
	if errors.Is(err, unix.EPERM) {
		t.Skip(err)
	}
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(features).To(HaveKeyWithValue("loopback", iface.Feature{On: true, Fixed: true}))
	g.Expect(features).To(HaveKeyWithValue("rx-lro", iface.Feature{Fixed: true}))
	g.Expect(features["tx-generic-segmentation"].Fixed).To(BeFalse())
	_, err = iface.Features("none0")
	g.Expect(err).To(MatchError(unix.ENODEV))
}

var resize = sandbox.Register("iface/resize", func(_ context.Context, _ *sandbox.Inside, bytes int) (int, error) {
	if err := iface.SetMTU("lo", bytes); err != nil {
		return 0, err
	}
	return iface.MTU("lo")
})

func TestMTUIsSetAndRead(t *testing.T) {
	g := NewWithT(t)
	s := sandboxtest.Start(t, sandbox.Config{})
	g.Expect(resize.Call(t.Context(), s, "", 1500)).To(Equal(1500))
	_, err := iface.MTU("none0")
	g.Expect(err).To(MatchError(unix.ENODEV))
}

package iface_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/iface"
)

func TestStatesAreNamedAsIPNamesThem(t *testing.T) {
	g := NewWithT(t)
	g.Expect(iface.Unknown.String()).To(Equal("UNKNOWN"))
	g.Expect(iface.LowerLayerDown.String()).To(Equal("LOWERLAYERDOWN"))
	g.Expect(iface.Up.String()).To(Equal("UP"))
	g.Expect(iface.State(9).String()).To(Equal("state 9"))
}

func TestRouteSaysWhoseThePacketIs(t *testing.T) {
	g := NewWithT(t)
	g.Expect(iface.Route{Local: true, Interface: "lo"}.String()).To(Equal("local, through lo"))
	g.Expect(iface.Route{Interface: "eth0"}.String()).To(Equal("to another machine, through eth0"))
}

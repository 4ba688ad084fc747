package process

import (
	"slices"
	"testing"
)

const container = "Name:\tloopcheck\nUid:\t1000\t1001\t1000\t1000\nGid:\t100\t101\t100\t100\nGroups:\t27 100 \n" +
	"CapEff:\t0000000000002000\nCapBnd:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2\n"

func TestParse(t *testing.T) {
	s := Parse(container)
	if s.UID != 1001 || s.GID != 101 || !slices.Equal(s.Groups, []int{27, 100}) || !s.Filtered {
		t.Errorf("%+v", s)
	}
	if got := s.Effective.Names(); !slices.Equal(got, []string{"CAP_NET_RAW"}) || !s.Effective.Has(NetRaw) || s.Effective.Has(NetAdmin) {
		t.Errorf("effective %v", got)
	}
	if !s.Bounding.Has(NetBindService) || s.Bounding.Has(NetAdmin) {
		t.Errorf("bounding %v", s.Bounding.Names())
	}
}

func TestCapabilityNames(t *testing.T) {
	for number, want := range map[int]string{
		0: "CAP_CHOWN", SetGID: "CAP_SETGID", SetUID: "CAP_SETUID", NetBindService: "CAP_NET_BIND_SERVICE",
		NetAdmin: "CAP_NET_ADMIN", NetRaw: "CAP_NET_RAW", 21: "CAP_SYS_ADMIN", 39: "CAP_BPF", 40: "CAP_CHECKPOINT_RESTORE", 41: "CAP_41",
	} {
		if got := Capabilities(1 << number).Names(); !slices.Equal(got, []string{want}) {
			t.Errorf("%d is %v, want %s", number, got, want)
		}
	}
	if got := Capabilities(0).Names(); got == nil || len(got) != 0 {
		t.Errorf("none is %#v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(container)
	f.Add("CapEff:\tffffffffffffffff\nCapBnd: -1\nUid: 1\nGroups: x 99999999999999999999\n:\nUid\n")
	f.Fuzz(func(t *testing.T, text string) {
		if names := Parse(text).Effective.Names(); len(names) > 64 {
			t.Errorf("%d capabilities, of 64 bits: %v", len(names), names)
		}
	})
}

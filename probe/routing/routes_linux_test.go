package routing

import (
	"encoding/binary"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// routeMessage is what the kernel sends of a local route to 127.0.0.0/8.
func routeMessage(tb testing.TB) []byte {
	tb.Helper()
	e := netlink.NewAttributeEncoder()
	e.Bytes(attrTo, []byte{127, 0, 0, 0})
	e.Uint32(attrRouteID, localTable)
	e.Bytes(attrPrefSrc, []byte{127, 0, 0, 1})
	e.Nested(attrMetrics, func(m *netlink.AttributeEncoder) error {
		m.Uint32(metricMTU, 1500)
		m.Uint32(3, 1000)
		m.Uint32(15, 1)
		m.String(metricCC, "reno")
		return nil
	})
	attributes, err := e.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	return append([]byte{unix.AF_INET, 8, 0, 0, 255, 2, 254, 2, 0, 0, 0, 0}, attributes...)
}

func TestRouteIsDecoded(t *testing.T) {
	got, err := decodeRoute(routeMessage(t), false)
	if err != nil {
		t.Fatal(err)
	}
	if want := "local 127.0.0.0/8 src 127.0.0.1 mtu 1500 window 1000 quickack 1 congctl reno"; got.String() != want {
		t.Errorf("got %q, want %q", got, want)
	}
	problems := judgeRoutes([]Route{got}, false, nil, 65536)
	if len(problems) != 2 || problems[0].Kind != SmallMTU || problems[1].Kind != SlowRoute {
		t.Errorf("found %v", problems)
	}
}

func TestMetricsThatHoldBack(t *testing.T) {
	for _, c := range []struct {
		metric Metric
		want   bool
	}{
		{Metric{Name: "window", Value: 1000}, true},
		{Metric{Name: "advmss", Value: 65476}, false}, // as old kernels write of ::1
		{Metric{Name: "advmss", Value: 200}, true},
		{Metric{Name: "hoplimit", Value: 0}, false},
		{Metric{Name: "hoplimit", Value: 2}, true},
		{Metric{Name: "rto_min", Value: 40}, false},
		{Metric{Name: "quickack", Value: 1}, false},
	} {
		if got := c.metric.slows(); got != c.want {
			t.Errorf("%s: %t", c.metric, got)
		}
	}
}

func FuzzDecodeRoute(f *testing.F) {
	f.Add(routeMessage(f))
	f.Add(binary.NativeEndian.AppendUint64(make([]byte, 4), 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := decodeRoute(data, len(data)%2 == 0); err == nil && r.Type == "" {
			t.Errorf("%+v", r)
		}
	})
}

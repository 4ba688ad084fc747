package nftrace

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mdlayher/netlink"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

const (
	// corpusSize bounds how many captured messages are kept.
	corpusSize = 60
	goldenFile = "testdata/decoded.golden.json"
)

// decoded is a captured message and what it says.
type decoded struct {
	Name  string `json:"name"`
	Event Event  `json:"event"`
}

func TestDecode(t *testing.T) {
	if netlink.HeaderType(1) != netlink.HeaderType(nativeOne()) {
		t.Skip("the messages were captured on a machine of the other byte order")
	}
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var golden []decoded
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden) < 20 {
		t.Fatalf("only %d captured messages", len(golden))
	}
	for _, want := range golden {
		t.Run(want.Name, func(t *testing.T) {
			got, err := Decode(captured(t, want.Name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Event, got, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// nativeOne is what this machine reads where a little-endian one wrote 1.
func nativeOne() uint16 {
	a, err := nfnl.Parse([]byte{5, 0, 1, 0, 0, 0, 0, 0})
	if err != nil || len(a) != 1 {
		return 0
	}
	return nfnl.Type(a[0])
}

func captured(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "fuzz", "FuzzDecode", name))
	if err != nil {
		t.Fatal(err)
	}
	_, quoted, _ := strings.Cut(string(text), "[]byte(")
	data, err := strconv.Unquote(strings.TrimSuffix(strings.TrimSpace(quoted), ")"))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(data)
}

func TestDecodeRefuses(t *testing.T) {
	message := func(family byte, a nfnl.Attributes) []byte {
		b, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte{family, 0, 0, 0}, b...)
	}
	whole := nfnl.Attributes{}.With(attrTable, []byte("t\x00")).With(attrChain, []byte("c\x00")).
		WithUint32(attrType, 1).WithUint32(attrPolicy, 1)
	for _, c := range []struct {
		name string
		data []byte
		says string
	}{
		{"nothing", nil, "shorter than its header"},
		{"half an attribute", []byte{2, 0, 0, 0, 8}, "attribute"},
		{"another family", message(99, whole), "protocol family 99"},
		{"another type", message(2, whole.WithUint32(attrType, 9)), "unknown type 9"},
		{"no chain", message(2, whole.Without(attrChain)), "names no table or chain"},
		{"another verdict", message(2, whole.WithUint32(attrPolicy, 0xffffff77)), "unknown verdict"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Decode(c.data); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want it to say %q", err, c.says)
			}
		})
	}
	e, err := Decode(message(2, whole))
	if err != nil || e.Verdict.Code != Accept || e.Type != Policy {
		t.Errorf("the whole message: %v, %v", e, err)
	}
}

func TestVerdict(t *testing.T) {
	for number, want := range map[uint32]string{
		0:              "drop",
		0x00010000:     "drop", // with an errno
		1:              "accept",
		2:              "stolen",
		0x00070003:     "queue to 7",
		0xfffe0003:     "queue to 65534",
		0xffffffff:     "continue",
		0xfffffffe:     "break",
		1<<32 - 5:      "return",
		0x80000000 | 2: "",
	} {
		v, err := verdict(number)
		if got := v.String(); got != want || (err != nil) != (want == "") {
			t.Errorf("%#x: got %q, %v, want %q", number, got, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Decode(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back Event
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		var g Gatherer
		g.Add(e)
		g.Add(e)
		for _, p := range g.Packets() {
			p.Decision()
		}
	})
}

package leftovers

import (
	"slices"
	"testing"
)

func snapshotOf(kind Kind, a area) Snapshot { return Snapshot{areas: map[Kind]area{kind: a}} }

func areaOf(entries map[string]entry) area { return area{entries: entries} }

func lines(differences []Difference) []string {
	var all []string
	for _, d := range differences {
		all = append(all, d.String())
	}
	return all
}

func TestCompare(t *testing.T) {
	tests := []struct {
		name          string
		kind          Kind
		before, after area
		want          []string
	}{
		{
			name:   "the same twice",
			kind:   Link,
			before: areaOf(map[string]entry{"lo": {name: "lo", value: "up", lasting: true}}),
			after:  areaOf(map[string]entry{"lo": {name: "lo", value: "up", lasting: true}}),
		},
		{
			name:   "left, changed and gone",
			kind:   Link,
			before: areaOf(map[string]entry{"lo": {name: "lo", value: "mtu 65536"}, "eth0": {name: "eth0", lasting: true}}),
			after:  areaOf(map[string]entry{"lo": {name: "lo", value: "mtu 1500"}, "veth0": {name: "veth0"}}),
			want: []string{
				`link changed: lo: from "mtu 65536" to "mtu 1500"`,
				`link left: veth0`,
				`link gone: eth0`,
			},
		},
		{
			name:   "what is another's, new or gone",
			kind:   Process,
			before: areaOf(map[string]entry{"1/1": {name: "pid 1"}}),
			after:  areaOf(map[string]entry{"2/2": {name: "pid 2", foreign: true}}),
		},
		{
			name:   "a namespace with the number of another's that ended",
			kind:   Namespace,
			before: areaOf(map[string]entry{"uts:[1]": {name: "uts:[1]", foreign: true}, "uts:[2]": {name: "uts:[2]", foreign: true}}),
			after:  areaOf(map[string]entry{"uts:[1]": {name: "uts:[1]", alone: true}, "uts:[2]": {name: "uts:[2]"}}),
			want:   []string{"namespace left: uts:[1]"},
		},
		{
			name:   "looked at only once",
			kind:   NFTables,
			before: areaOf(nil),
			after:  blindArea("nft failed"),
			want:   []string{"nftables unsure: could not be looked at afterwards: nft failed"},
		},
		{
			name:   "never looked at",
			kind:   NFTables,
			before: blindArea("not root"),
			after:  blindArea("not root"),
		},
		{
			name:   "a name made to forge a line",
			kind:   File,
			before: areaOf(nil),
			after:  areaOf(map[string]entry{"x": {name: "/tmp/a\nfile left: /tmp/b\x1b[31m"}}),
			want:   []string{"file left: /tmp/a\uFFFDfile left: /tmp/b\uFFFD[31m"},
		},
		{
			name:   "a folder of sysctls that a module brings",
			kind:   Sysctl,
			before: areaOf(map[string]entry{"net/ipv4/a": {name: "net.ipv4.a", value: "0"}}),
			after: areaOf(map[string]entry{
				"net/ipv4/a": {name: "net.ipv4.a", value: "1"},
				"net/new/a":  {name: "net.new.a"}, "net/new/b": {name: "net.new.b"},
				"net/new/c": {name: "net.new.c"}, "net/new/d": {name: "net.new.d"},
			}),
			want: []string{
				`sysctl changed: net.ipv4.a: from "0" to "1"`,
				`sysctl left: 4 names under net.new`,
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := lines(Compare(snapshotOf(test.kind, test.before), snapshotOf(test.kind, test.after)))
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestUnseenSaysWhatIsNotProven(t *testing.T) {
	partly := newArea()
	partly.note("%d may not be read", 3)
	s := Snapshot{areas: map[Kind]area{Sysctl: partly, NFTables: blindArea("nft: not permitted")}}
	want := []string{"nftables: nft: not permitted", "sysctl: 3 may not be read"}
	if got := s.Unseen(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAddKeepsSecondCopies(t *testing.T) {
	a := newArea()
	a.add("rule", entry{name: "rule"})
	before := a
	b := newArea()
	b.add("rule", entry{name: "rule"})
	b.add("rule", entry{name: "rule"})
	got := lines(Compare(snapshotOf(NFTables, before), snapshotOf(NFTables, b)))
	if want := []string{"nftables left: rule"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSysctlNamesOfInterfacesWithDots(t *testing.T) {
	const path, name = "net/ipv4/conf/eth0.100/forwarding", "net.ipv4.conf.eth0/100.forwarding"
	if got := sysctlName(path); got != name {
		t.Errorf("got %s, want %s", got, name)
	}
	if got := sysctlPath(name); got != path {
		t.Errorf("got %s, want %s", got, path)
	}
}

func TestWatchRefusesWhatProvesNothing(t *testing.T) {
	for name, w := range map[string]Watch{
		"a malformed pattern": {Ignore: []string{"[x"}},
		"a relative folder":   {Folders: []Folder{{Path: "tmp"}}},
	} {
		if err := w.validate(); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

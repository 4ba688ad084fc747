package tuning

import (
	"io/fs"
	"testing"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	m.Run()
}

// from reads settings that a test makes up.
func from(values map[string]string) Reader {
	return func(name string) (string, error) {
		if v, ok := values[name]; ok {
			return v, nil
		}
		return "", fs.ErrNotExist
	}
}

// What is documented as the default, and what the table says of it, has to be
// what the kernel that runs the test does.
func TestDefaultsAreTheKernels(t *testing.T) {
	values := Fresh(t.Context())
	if values == nil {
		t.Skip("no private namespace is to be had here")
	}
	for _, s := range known {
		value, tells := values[s.Name]
		switch {
		case !tells:
			t.Logf("a namespace of this kernel has no %s", s.Name)
		case s.Hurts(value, from(values)):
			t.Errorf("%s is %q in a fresh namespace, which is said to hurt", s.Name, value)
		case s.Default != "" && s.Default != value && s.Name != "net.ipv4.tcp_rmem" && s.Name != "net.ipv4.tcp_wmem" &&
			s.Name != "net.ipv4.tcp_max_syn_backlog" && !s.inherited():
			// Those three depend on the machine's memory.
			t.Errorf("%s is %q in a fresh namespace, and said to be %q", s.Name, value, s.Default)
		}
		if s.Default != "" && s.Hurts(s.Default, from(values)) {
			t.Errorf("%s: the default is said to hurt", s.Name)
		}
	}
}

func TestEverySettingThatHurtsSaysHow(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range known {
		if seen[s.Name] {
			t.Errorf("%s stands there twice", s.Name)
		}
		seen[s.Name] = true
		if (s.hurts == nil) != (s.Does == "") {
			t.Errorf("%s: hurts without saying how, or the other way round", s.Name)
		}
	}
	if len(known) < 40 {
		t.Errorf("%d settings are looked at", len(known))
	}
}

func TestWhatHurts(t *testing.T) {
	for _, c := range []struct {
		name, value string
		beside      map[string]string
		want        bool
	}{
		{"net.ipv4.tcp_rmem", "4096\t4096\t4096", nil, true},
		{"net.ipv4.tcp_rmem", "4096 87380 33554432", nil, false},
		{"net.ipv4.tcp_rmem", "x", nil, false},
		{"net.ipv4.ip_local_port_range", "60000\t60049", nil, true},
		{"net.ipv4.ip_local_port_range", "1024 65535", nil, false},
		{"net.ipv4.ip_local_reserved_ports", "1024-65535", map[string]string{"net.ipv4.ip_local_port_range": "32768\t60999"}, true},
		{"net.ipv4.ip_local_reserved_ports", "8080,9000-9100", map[string]string{"net.ipv4.ip_local_port_range": "32768\t60999"}, false},
		{"net.ipv4.ip_local_reserved_ports", "1024-65535", nil, false},
		{"net.ipv6.conf.lo.disable_ipv6", "1", map[string]string{"net.ipv6.conf.all.disable_ipv6": "0"}, true},
		{"net.ipv6.conf.lo.disable_ipv6", "1", map[string]string{"net.ipv6.conf.all.disable_ipv6": "1"}, false},
		{"net.ipv4.ip_unprivileged_port_start", "0", nil, false},
		{"net.ipv4.ip_unprivileged_port_start", "32000", nil, true},
		{"net.ipv4.tcp_ecn", "1", nil, false},
	} {
		s, ok := Lookup(c.name)
		if !ok {
			t.Fatalf("%s is not known", c.name)
		}
		if got := s.Hurts(c.value, from(c.beside)); got != c.want {
			t.Errorf("%s=%q beside %v: hurts %t", c.name, c.value, c.beside, got)
		}
	}
}

func TestExamineComparesWithTheKernelsOwn(t *testing.T) {
	read := from(map[string]string{"net.ipv4.tcp_sack": "0\n", "net.ipv4.tcp_ecn": "1"})
	readings := Examine(t.Context(), read)
	if len(readings) != 2 {
		t.Fatalf("read %+v", readings)
	}
	for _, r := range readings {
		if r.Usual == "" || !r.Differs() || r.Hurts != (r.Name == "net.ipv4.tcp_sack") {
			t.Errorf("%+v", r)
		}
	}
	if only := Examine(t.Context(), read, "net.ipv4.tcp_ecn"); len(only) != 1 {
		t.Errorf("read %+v", only)
	}
}

func FuzzHurts(f *testing.F) {
	f.Add("1 2", "3-4,5")
	f.Fuzz(func(t *testing.T, value, other string) {
		for _, s := range known {
			s.Hurts(value, func(string) (string, error) { return other, nil })
		}
	})
}

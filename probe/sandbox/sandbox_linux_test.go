package sandbox

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/lab/surroundings"
)

// startFor starts a sandbox that ends with the test. It returns nil for the
// kind of user that is to be refused one, after it has seen that he is told
// why, and what to do.
func startFor(t *testing.T, kind surroundings.Kind, config Config) *Sandbox {
	t.Helper()
	if kind.Sandboxes() {
		return begin(t, config)
	}
	s, err := Start(t.Context(), config)
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || !strings.Contains(refused.Why, "seccomp") || refused.How == "" || !errors.Is(err, syscall.EPERM) {
		t.Errorf("it was not refused with its reason: %v, %v", s, err)
	}
	return nil
}

func begin(t *testing.T, config Config) *Sandbox {
	t.Helper()
	s, err := Start(t.Context(), config)
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		t.Skip(refused.Error() + ": " + refused.How)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

var pair = Config{
	Zones: []string{"server", "client"},
	Links: []Link{{
		A: End{Zone: "server", Name: "eth0", Addresses: prefixes("10.77.0.1/24", "fd77::1/64")},
		B: End{Zone: "client", Name: "uplink", Addresses: prefixes("10.77.0.2/24", "fd77::2/64")},
	}},
}

func TestZonesAreApartAndJoined(t *testing.T) {
	surroundings.Everywhere(t, func(t *testing.T, kind surroundings.Kind) {
		ours, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		s := startFor(t, kind, pair)
		if s == nil {
			return
		}
		if got := s.Facts().UserNamespace; got == kind.NoUserNamespaces {
			t.Errorf("facts %+v", s.Facts())
		}
		seen := map[string]bool{ours: true}
		for zone, other := range map[string]string{"server": "eth0", "client": "uplink"} {
			v, err := look.Call(t.Context(), s, zone, struct{}{})
			if err != nil {
				t.Fatal(err)
			}
			if seen[v.Namespace] || !v.LoUp || v.UID != 0 || !slices.Contains(v.Interfaces, other) {
				t.Errorf("zone %s: %+v; namespaces so far %v", zone, v, seen)
			}
			seen[v.Namespace] = true
		}
		for _, c := range []struct{ from, server, addr, seen string }{
			{"client", "server", "10.77.0.1", "10.77.0.2"},
			{"client", "server", "fd77::1", "fd77::2"},
			{"server", "client", "10.77.0.2", "10.77.0.1"},
			{"server", "server", "127.0.0.1", "127.0.0.1"},
			{"client", "client", "::1", "::1"},
		} {
			got, err := reach.Call(t.Context(), s, c.from, echoArg{c.server, netip.MustParseAddr(c.addr)})
			if err != nil || got.String() != c.seen {
				t.Errorf("from %s to %s %s: seen as %v, %v", c.from, c.server, c.addr, got, err)
			}
		}
	})
}

func TestNothingOutsideCanBeChanged(t *testing.T) {
	const setting = "/proc/sys/net/ipv4/ip_default_ttl"
	surroundings.Everywhere(t, func(t *testing.T, kind surroundings.Kind) {
		before, err := os.ReadFile(setting)
		if err != nil {
			t.Fatal(err)
		}
		mark, err := os.CreateTemp("", "loopcheck-sandbox-*")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(mark.Name()); mark.Close() })

		s := startFor(t, kind, pair)
		if s == nil {
			return
		}
		if _, err := write.Call(t.Context(), s, "client", attempt{setting, "99"}); err != nil {
			t.Errorf("a setting of a zone cannot be written: %v", err)
		}
		for zone, want := range map[string]string{"client": "99", "server": strings.TrimSpace(string(before))} {
			if got, err := read.Call(t.Context(), s, zone, setting); got != want || err != nil {
				t.Errorf("ttl of %s: %q, %v; it should be %q", zone, got, err, want)
			}
		}
		if after, err := os.ReadFile(setting); err != nil || string(after) != string(before) {
			t.Errorf("outside the setting is now %q, %v", after, err)
		}
		if s.Facts().ReadOnly {
			if _, err := write.Call(t.Context(), s, "", attempt{mark.Name(), "x"}); err == nil {
				t.Error("no zone has that name")
			}
			if _, err := write.Call(t.Context(), s, "client", attempt{mark.Name(), "x"}); !errors.Is(err, syscall.EROFS) {
				t.Errorf("writing one's own file outside: %v", err)
			}
		}
		if _, err := write.Call(t.Context(), s, "client", attempt{"/run/mark", "x"}); err != nil {
			t.Errorf("/run cannot be written: %v", err)
		}
		if _, err := os.Stat("/run/mark"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what was written to /run inside is seen outside: %v", err)
		}
	})
}

func TestRootHasSeveralUsersInside(t *testing.T) {
	s := begin(t, Config{})
	got, err := becomeAnother.Call(t.Context(), s, "", 1000)
	if s.Facts().IDs <= 1000 {
		if err == nil {
			t.Errorf("with %d IDs, user 1000 exists", s.Facts().IDs)
		}
		return
	}
	if got != 1000 || err != nil {
		t.Errorf("became %d, %v", got, err)
	}
	// The change went with the thread that it was made on.
	if v, err := look.Call(t.Context(), s, "", struct{}{}); v.UID != 0 || err != nil {
		t.Errorf("afterwards: %+v, %v", v, err)
	}
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	s := begin(t, Config{})
	for kind, want := range map[string]error{"errno": syscall.ECONNREFUSED, "sentinel": fs.ErrNotExist} {
		got, err := fail.Call(t.Context(), s, "", kind)
		if !errors.Is(err, want) || got != "and a result" {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
	}
	_, err := fail.Call(t.Context(), s, "", "panic")
	if panicked, ok := errors.AsType[*PanicError](err); !ok || panicked.Value != "at once" || !strings.Contains(panicked.Stack, "functions_linux_test.go") {
		t.Errorf("a panic came back as %v", err)
	}
	if _, err := fail.Call(t.Context(), s, "", ""); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func TestAWorkerThatDiesSaysHow(t *testing.T) {
	s := begin(t, Config{})
	_, err := fail.Call(t.Context(), s, "", "exit")
	died, ok := errors.AsType[*DiedError](err)
	if !ok || died.State != "exit status 7" || died.Output != "the last words" {
		t.Errorf("%v", err)
	}
	if _, err := fail.Call(t.Context(), s, "", ""); !errors.As(err, new(*DiedError)) {
		t.Errorf("a call of a dead worker: %v", err)
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	s := begin(t, Config{})
	// Until then the call has begun, on a busy machine too.
	const begun = 500 * time.Millisecond
	for name, end := range map[string]func() (context.Context, context.CancelFunc, error){
		"deadline": func() (context.Context, context.CancelFunc, error) {
			ctx, cancel := context.WithTimeout(t.Context(), begun)
			return ctx, cancel, context.DeadlineExceeded
		},
		"cancel": func() (context.Context, context.CancelFunc, error) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(begun, cancel)
			return ctx, cancel, context.Canceled
		},
	} {
		for _, stubborn := range []bool{false, true} {
			ctx, cancel, want := end()
			got, err := wait.Call(ctx, s, "", stubborn)
			cancel()
			if !errors.Is(err, want) || !stubborn && got != "how far it came" {
				t.Errorf("%s, stubborn %v: %q, %v", name, stubborn, got, err)
			}
		}
	}
	if _, err := look.Call(t.Context(), s, "", struct{}{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestCloseEndsCallsUnderWay(t *testing.T) {
	s := begin(t, Config{})
	ended := make(chan error, 1)
	go func() {
		_, err := wait.Call(t.Context(), s, "", true)
		ended <- err
	}()
	// That it was begun shows by a call that was begun after it and is over.
	if _, err := look.Call(t.Context(), s, "", struct{}{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("the call under way: %v", err)
	}
	if _, err := look.Call(t.Context(), s, "", struct{}{}); !errors.Is(err, ErrClosed) {
		t.Errorf("a call of a closed sandbox: %v", err)
	}
}

func TestDamageReachesEverySandbox(t *testing.T) {
	undo := Damage("echo 7 > /proc/sys/net/ipv4/ip_default_ttl")
	s := begin(t, pair)
	for _, zone := range pair.Zones {
		if got, err := read.Call(t.Context(), s, zone, "/proc/sys/net/ipv4/ip_default_ttl"); got != "7" || err != nil {
			t.Errorf("%s: %q, %v", zone, got, err)
		}
	}
	Damage("false")
	if _, err := Start(t.Context(), Config{}); err == nil || !strings.Contains(err.Error(), `damage "false"`) {
		t.Errorf("damage that cannot be done: %v", err)
	}
	undo()
	sound := begin(t, Config{})
	if got, err := read.Call(t.Context(), sound, "", "/proc/sys/net/ipv4/ip_default_ttl"); got == "7" || err != nil {
		t.Errorf("after undo: %q, %v", got, err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for want, config := range map[string]Config{
		`two zones are named "a"`:            {Zones: []string{"a", "a"}},
		`there is no zone "b"`:               {Zones: []string{"a"}, Links: []Link{{A: End{Zone: "a", Name: "x"}, B: End{Zone: "b", Name: "x"}}}},
		`is no name of an interface`:         {Links: []Link{{A: End{Name: "x/y"}, B: End{Name: "z"}}}},
		`has two interfaces named "x"`:       {Links: []Link{{A: End{Name: "x"}, B: End{Name: "x"}}}},
		`has two interfaces named "lo"`:      {Links: []Link{{A: End{Name: "lo"}, B: End{Name: "x"}}}},
		`"interface-too-long" is no name of`: {Links: []Link{{A: End{Name: "interface-too-long"}, B: End{Name: "x"}}}},
	} {
		if s, err := Start(t.Context(), config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v, %v", want, s, err)
		}
	}
	s := begin(t, Config{})
	if _, err := look.Call(t.Context(), s, "nowhere", struct{}{}); err == nil || !strings.Contains(err.Error(), `no zone "nowhere"`) {
		t.Errorf("%v", err)
	}
	if _, err := (Func[int, int]{"nobody/wrote/this"}).Call(t.Context(), s, "", 1); err == nil || !strings.Contains(err.Error(), "nobody/wrote/this") {
		t.Errorf("%v", err)
	}
}

func TestIptablesFindsItsLock(t *testing.T) {
	s := begin(t, Config{})
	if out, err := run.Call(t.Context(), s, "", []string{"sh", "-c", "command -v iptables"}); err != nil {
		t.Skipf("iptables is not installed: %s", out)
	}
	if out, err := run.Call(t.Context(), s, "", []string{"iptables", "-A", "INPUT", "-p", "tcp", "-j", "DROP"}); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := run.Call(t.Context(), s, "", []string{"iptables", "-S", "INPUT"}); err != nil || !strings.Contains(out, "-p tcp -j DROP") {
		t.Errorf("%v: %s", err, out)
	}
}

// BenchmarkTwoZones is what a sandbox of two joined zones costs, from nothing to
// nothing.
func BenchmarkTwoZones(b *testing.B) {
	for b.Loop() {
		s, err := Start(b.Context(), pair)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

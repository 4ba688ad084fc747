package ruleset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// TestReadChangesNothing asks about the machine's own rules.
func TestReadChangesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may read the machine's rules")
	}
	state := func() string {
		var all strings.Builder
		for _, name := range []string{"ip_tables_names", "ip6_tables_names"} {
			text, err := os.ReadFile("/proc/thread-self/net/" + name)
			fmt.Fprintln(&all, string(text), err)
		}
		if path, err := lookPath("nft", "test"); err == nil {
			out, err := exec.Command(path, "-s", "list", "ruleset").CombinedOutput()
			fmt.Fprintln(&all, string(out), err)
		}
		return all.String()
	}
	before := state()
	r, err := Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after := state(); after != before {
		t.Errorf("the rules were\n%s\nand are\n%s", before, after)
	}
	again, err := Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again.Generation != r.Generation {
		t.Errorf("the generation went from %d to %d", r.Generation, again.Generation)
	}
	if r.Interfaces["lo"] != 1 {
		t.Errorf("interfaces: %v", r.Interfaces)
	}
}

// readingResult counts what was read while the rules changed all the time.
type readingResult struct {
	Whole int    `json:"whole"`
	Torn  string `json:"torn"`
	// Gave says how often Read gave up.
	Gave int `json:"gave"`
}

var readWhileChanging = sandbox.Register("ruleset/read-while-changing", func(ctx context.Context, in *sandbox.Inside, times int) (r readingResult, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	changing, stop := context.WithCancel(ctx)
	changed := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		changed <- in.Do(in.Zone(), func() error { return change(changing, begun) })
	}()
	defer func() {
		stop()
		err = errors.Join(err, <-changed)
	}()
	select {
	case <-begun:
	case <-ctx.Done():
		return r, ctx.Err()
	}
	for range times {
		rules, err := Read(ctx)
		if errors.Is(err, errChanged) {
			r.Gave++
			continue
		}
		if err != nil {
			return r, err
		}
		// A transaction puts a rule into both chains or takes it from both.
		one, _ := rules.Chain("inet", "t", "one")
		two, found := rules.Chain("inet", "t", "two")
		if !found || len(one.Rules) != len(two.Rules) {
			r.Torn = fmt.Sprintf("%d rules and %d", len(one.Rules), len(two.Rules))
		}
		r.Whole++
	}
	return r, nil
})

// change changes the rules without end, by one process so as not to be slow.
func change(ctx context.Context, begun chan struct{}) error {
	path, err := lookPath("nft", "test")
	if err != nil {
		return err
	}
	run := func(script string) error {
		command := exec.Command(path, "-f", "-")
		command.Stdin = strings.NewReader(script)
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("nft: %w: %s", err, out)
		}
		return nil
	}
	if err := run("table inet t { chain one { }; chain two { }; }"); err != nil {
		return err
	}
	close(begun)
	for n := 0; ctx.Err() == nil; n++ {
		script := "add rule inet t one tcp dport 1 accept\nadd rule inet t two tcp dport 1 accept\n"
		if n%5 == 4 {
			script = "flush chain inet t one\nflush chain inet t two\n"
		}
		if err := run(script); err != nil {
			return err
		}
	}
	return nil
}

func TestReadIsOfOneMoment(t *testing.T) {
	need(t, "nft")
	got, err := readWhileChanging.Call(t.Context(), start(t), "original", 40)
	if err != nil {
		t.Fatal(err)
	}
	if got.Torn != "" || got.Whole == 0 {
		t.Errorf("%+v", got)
	}
	t.Logf("%+v", got)
}

var readWithoutRights = sandbox.Register("ruleset/read-without-rights", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) ([2]string, error) {
	if err := sandboxtest.DropCapabilities(); err != nil {
		return [2]string{}, err
	}
	_, readErr := Read(ctx)
	_, loadErr := Load(ctx, &Ruleset{Tables: []Table{{Family: "ip", Name: "t", Attributes: []byte{6, 0, 1, 0, 't', 0, 0, 0}}}})
	var said [2]string
	for i, err := range []error{readErr, loadErr} {
		if denied := new(PermissionError); errors.As(err, &denied) && errors.Is(err, syscall.EPERM) {
			said[i] = err.Error()
		}
	}
	return said, nil
})

func TestReadNeedsRights(t *testing.T) {
	said, err := readWithoutRights.Call(t.Context(), start(t), "original", struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range said {
		if !strings.Contains(text, "CAP_NET_ADMIN") {
			t.Errorf("said %q", said)
		}
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	s := start(t)
	got, err := endedRead.Call(t.Context(), s, "original", struct{}{})
	if err != nil || got != "true" {
		t.Errorf("got %q, %v", got, err)
	}
}

var endedRead = sandbox.Register("ruleset/ended-read", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err := Read(ctx)
	return fmt.Sprint(errors.Is(err, context.Canceled)), nil
})

// hide takes programs away within the sandbox.
func hide(t *testing.T, s *sandbox.Sandbox, programs ...string) {
	t.Helper()
	for _, program := range programs {
		path, err := lookPath(program, "test")
		if err != nil {
			continue
		}
		if out, err := shell.Call(t.Context(), s, "original", "mount --bind /dev/null $(readlink -f "+path+")"); err != nil {
			t.Skipf("cannot hide %s: %v: %s", path, err, out)
		}
	}
}

func TestReadWithoutNft(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", `table inet t { chain c { accept comment "still known"; }; }`)
	hide(t, s, "nft")
	chain, found := read(t, s, "original").Chain("inet", "t", "c")
	if !found || len(chain.Rules) != 1 {
		t.Fatalf("read %+v", chain)
	}
	rule := chain.Rules[0]
	if want := fmt.Sprintf("rule 1 of chain inet t c, handle %d", rule.Handle); rule.Text != want || rule.Comment != "still known" {
		t.Errorf("text %q, comment %q", rule.Text, rule.Comment)
	}
	err := LoadFileInto(t.Context(), s, "original", File{Name: "x.nft", Text: "table inet x { }"})
	if missing := new(MissingProgramError); !errors.As(err, &missing) || missing.Program != "nft" || missing.Package != "nftables" {
		t.Errorf("got %v", err)
	}
}

func TestReadWithoutLegacyPrograms(t *testing.T) {
	need(t, "iptables-legacy-restore", "iptables-legacy-save")
	s := start(t)
	loadText(t, s, "original", "# Generated by iptables-save v1.8.9 on a day\n"+savedNft)
	hide(t, s, "iptables-legacy-save")
	r := read(t, s, "original")
	if len(r.Legacy4.Tables) != 3 || !strings.Contains(r.Legacy4.Unread, "iptables-legacy-save is not installed") {
		t.Errorf("%+v", r.Legacy4)
	}
	copied := load(t, s, "copy", r)
	if len(copied.Omitted) != 1 || !strings.Contains(copied.Omitted[0].Why, "not installed") {
		t.Errorf("left out %v", copied.Omitted)
	}
}

func TestLoopbackHooks(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", script(t, "rich.nft"))
	var got []string
	for _, h := range read(t, s, "original").Loopback() {
		got = append(got, fmt.Sprintf("%s %d %s %s %s %s %s %d idle=%v", h.Hook, h.Priority, h.Type, h.Family, h.Table, h.Chain, h.Policy, h.Rules, h.Idle))
	}
	want := []string{
		"output -300 filter ip6 sixth raw accept 3 idle=false",
		"output -150 route ip nat route accept 1 idle=false",
		"output -100 nat ip nat out accept 4 idle=false",
		"postrouting 100 nat ip nat post accept 2 idle=false",
		"egress 7 filter netdev wire leaving accept 0 idle=true",
		"ingress -5 filter netdev wire coming accept 2 idle=false",
		"prerouting -150 filter ip nat pre accept 2 idle=false",
		"input 0 filter inet filter input drop 40 idle=false",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

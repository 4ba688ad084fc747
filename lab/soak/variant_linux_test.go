package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/report"
)

// playFacts makes the test binary print, as a report, what it finds itself
// started with. Every fact is a check that warns, so that soak's table has it.
const playFacts = "play-facts"

// playNothing makes the test binary end at once, by argv[0].
const playNothing = "play-nothing"

// meetDeadline bounds how long one of two commands waits for the other.
const meetDeadline = time.Minute

func factsMain(args []string) int {
	facts, loUp, err := readFacts()
	if err == nil && len(args) > 0 {
		err = meet(args[0])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	var r report.Report
	r.Summary.Verdict = "warn"
	for id, fact := range facts {
		r.Checks = append(r.Checks, report.Check{ID: id, State: "warn", Message: fact})
	}
	exit := exitGood
	if !loUp {
		exit = exitBad
		r.Summary.Verdict = "fail"
		r.Checks = append(r.Checks, report.Check{ID: "lo", State: "fail", Message: "lo is down", Causes: []report.Cause{{ID: "lo-down"}}})
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return exit
}

func readFacts() (facts map[string]string, loUp bool, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, false, err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return nil, false, err
	}
	namespace, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, false, err
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return nil, false, err
	}
	addresses, err := lo.Addrs()
	if err != nil {
		return nil, false, err
	}
	groups, err := os.Getgroups()
	if err != nil {
		return nil, false, err
	}
	work, err := os.Getwd()
	if err != nil {
		return nil, false, err
	}
	writable := "yes"
	for _, dir := range []string{work, os.TempDir(), os.Getenv("HOME")} {
		if unix.Access(dir, unix.W_OK) != nil {
			writable = "not " + dir
		}
	}
	_, errIPv6 := net.Listen("tcp6", "[::1]:0")
	_, errRaw := net.ListenPacket("ip4:icmp", "127.0.0.1")
	errUserNS := refusedUserNamespace()
	return map[string]string{
		"user":      fmt.Sprintf("uid %d gid %d groups %v capabilities %x", os.Geteuid(), os.Getegid(), groups, sets[0].Effective|sets[1].Effective),
		"netns":     namespace,
		"addresses": fmt.Sprint(addresses),
		"ipv6":      fmt.Sprintf("listening works %t", errIPv6 == nil),
		"raw":       fmt.Sprintf("refused %t", errors.Is(errRaw, unix.EPERM)),
		"userns":    fmt.Sprintf("refused %t", errors.Is(errUserNS, unix.EPERM)),
		"nofile":    fmt.Sprintf("at most %d", limit.Max),
		"hogs":      strings.Join(hogsInSight(), " "),
		"writable":  writable,
	}, lo.Flags&net.FlagUp != 0, nil
}

// refusedUserNamespace is what starting a program in a user namespace gives.
func refusedUserNamespace() error {
	program := exec.Command("/proc/self/exe")
	program.Args = []string{playNothing}
	program.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	return program.Run()
}

// hogsInSight lists the CPUs that running hogs of the same soak are pinned to.
func hogsInSight() []string {
	var pinned []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		cmdline, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(cmdline), stageName+"\x00"+hogStep+"\x00") {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(file), "status"))
		if err != nil || !strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", os.Getppid())) {
			continue
		}
		_, allowed, _ := strings.Cut(string(status), "Cpus_allowed_list:\t")
		cpus, _, _ := strings.Cut(allowed, "\n")
		pinned = append(pinned, "cpu "+cpus)
	}
	slices.Sort(pinned)
	return pinned
}

// meet returns once two processes have met in a folder.
func meet(dir string) error {
	own := filepath.Join(dir, fmt.Sprint(os.Getpid()))
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		return err
	}
	deadline := time.Now().Add(meetDeadline)
	for {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		if len(entries) == 2 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes came to %s, not 2", len(entries), dir)
		}
	}
}

// soakFacts runs a variant once and returns its table, and the facts in it.
func soakFacts(t *testing.T, variant string, args ...string) (soakResult, map[string]string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := runSoak(t, append([]string{"-n", "1", "-variant", variant, "--", self, playFacts}, args...)...)
	facts := map[string]string{}
	for line := range strings.Lines(r.table) {
		if cells := strings.Split(line, " | "); len(cells) == 4 && cells[1] == "warn" {
			facts[strings.TrimPrefix(cells[0], "| ")] = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(cells[3]), "|"))
		}
	}
	return r, facts
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: run the tests with sudo")
	}
}

func mustHave(t *testing.T, facts map[string]string, id, want string) {
	t.Helper()
	if facts[id] != want {
		t.Errorf("%s: got %q, want %q", id, facts[id], want)
	}
}

func ownNetns(t *testing.T) string {
	t.Helper()
	namespace, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return namespace
}

func TestPlainIsAsItIs(t *testing.T) {
	r, facts := soakFacts(t, "plain")
	r.must(t, exitGood)
	mustHave(t, facts, "netns", ownNetns(t))
	mustHave(t, facts, "hogs", "")
	mustHave(t, facts, "writable", "yes")
}

func TestUserHasNoRights(t *testing.T) {
	needRoot(t)
	r, facts := soakFacts(t, "user")
	r.must(t, exitGood)
	mustHave(t, facts, "user", "uid 65534 gid 65534 groups [] capabilities 0")
	mustHave(t, facts, "raw", "refused true")
	mustHave(t, facts, "writable", "yes")
}

func TestNoNetRawIsRootWithoutIt(t *testing.T) {
	needRoot(t)
	_, plain := soakFacts(t, "plain")
	mustHave(t, plain, "raw", "refused false")
	r, facts := soakFacts(t, "no-net-raw")
	r.must(t, exitGood)
	mustHave(t, facts, "raw", "refused true")
	if !strings.HasPrefix(facts["user"], "uid 0 ") || strings.HasSuffix(facts["user"], " 0") {
		t.Errorf("user: got %q, want root with its other capabilities", facts["user"])
	}
}

func TestUserNamespacesAreRefused(t *testing.T) {
	needRoot(t)
	_, plain := soakFacts(t, "plain")
	mustHave(t, plain, "userns", "refused false")
	for _, variant := range []string{"no-userns", "user-no-userns"} {
		r, facts := soakFacts(t, variant)
		r.must(t, exitGood)
		mustHave(t, facts, "userns", "refused true")
	}
}

func skipWithoutNamespaces(t *testing.T, r soakResult) {
	t.Helper()
	if r.exit == exitFailed && os.Geteuid() != 0 && strings.Contains(r.stderr, unix.EPERM.Error()) {
		t.Skip("user namespaces are refused here: run the tests as root")
	}
}

func TestNetworkNamespaces(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("needs a kernel with IPv6: it was built or booted without")
	}
	for variant, want := range map[string]struct{ addresses, ipv6, left string }{
		"netns":         {"[127.0.0.1/8 ::1/128]", "listening works true", "| nothing |"},
		"no-ipv6":       {"[127.0.0.1/8]", "listening works false", "| nothing |"},
		"netns-lo-down": {"[]", "listening works false", "| lo | fail | 1 | lo is down |"},
	} {
		t.Run(variant, func(t *testing.T) {
			r, facts := soakFacts(t, variant)
			skipWithoutNamespaces(t, r)
			r.must(t, exitGood, want.left)
			mustHave(t, facts, "addresses", want.addresses)
			mustHave(t, facts, "ipv6", want.ipv6)
			if facts["netns"] == "" || facts["netns"] == ownNetns(t) {
				t.Errorf("netns: got %q, want another than %q", facts["netns"], ownNetns(t))
			}
		})
	}
}

func TestOpenFilesAreLimited(t *testing.T) {
	r, facts := soakFacts(t, "nofile-256")
	r.must(t, exitGood)
	mustHave(t, facts, "nofile", "at most 256")
}

func TestHogsRunBesideIt(t *testing.T) {
	var usable unix.CPUSet
	if err := unix.SchedGetaffinity(0, &usable); err != nil {
		t.Fatal(err)
	}
	r, facts := soakFacts(t, "hogs")
	r.must(t, exitGood)
	hogs := strings.Split(facts["hogs"], "cpu ")
	if len(hogs) != 3 {
		t.Fatalf("hogs: got %q, want 2", facts["hogs"])
	}
	if different := hogs[1] != hogs[2]; different != (usable.Count() > 1) {
		t.Errorf("hogs: got %q on %d CPUs", facts["hogs"], usable.Count())
	}
}

func TestTwiceRunsTwoAtTheSameTime(t *testing.T) {
	r, _ := soakFacts(t, "twice", publicDir(t))
	r.must(t, exitGood, "| twice | 2 | 0 | 0 ×2 |")
}

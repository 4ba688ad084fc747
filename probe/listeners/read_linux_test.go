package listeners

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// scene is what a test opens in a namespace before it reads who listens.
type scene struct {
	Open    []opening
	Connect string // an address to open a connection to that nobody accepts
	SS      bool   // ask ss(8) too
}

type seen struct {
	List List
	PID  int
	SS   string
}

// look plays a scene and reads.
var look = sandbox.Register("listeners/look", func(ctx context.Context, _ *sandbox.Inside, s scene) (seen, error) {
	closeAll, err := openAll(s.Open)
	if err != nil {
		return seen{}, err
	}
	defer closeAll()
	if s.Connect != "" {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return seen{}, err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, sockaddr(netip.MustParseAddrPort(s.Connect))); err != nil {
			return seen{}, fmt.Errorf("connect to %s: %w", s.Connect, err)
		}
	}
	list, err := Read(ctx)
	if err != nil {
		return seen{}, err
	}
	result := seen{List: list, PID: os.Getpid()}
	if s.SS {
		out, err := exec.CommandContext(ctx, "ss", "-Hltnup").Output()
		if err != nil {
			return seen{}, fmt.Errorf("ask ss: %w", err)
		}
		result.SS = string(out)
	}
	return result, nil
})

func play(t *testing.T, s *sandbox.Sandbox, zone string, scene scene) seen {
	t.Helper()
	result, err := look.Call(t.Context(), s, zone, scene)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// bindings have a socket of every scope, on ports of their own.
var bindings = []struct {
	opening
	bound, scope, iface string
}{
	{opening{"tcp", "127.0.0.1:1001", "", false, 1}, "127.0.0.1", "loopback", "lo"},
	{opening{"tcp", "127.9.9.9:1002", "", false, 1}, "127.9.9.9", "loopback", "lo"},
	{opening{"tcp", "[::1]:1003", "", false, 1}, "::1", "loopback", "lo"},
	{opening{"tcp", "0.0.0.0:1004", "lo", false, 1}, "0.0.0.0", "loopback", "lo"},
	{opening{"tcp", "10.9.9.9:1005", "", false, 1}, "10.9.9.9", "interface", "eth0"},
	{opening{"tcp", "[fd99::9]:1006", "", false, 1}, "fd99::9", "interface", "eth0"},
	{opening{"tcp", "0.0.0.0:1007", "eth0", false, 1}, "0.0.0.0", "interface", "eth0"},
	{opening{"tcp", "192.0.2.7:1008", "", false, 1}, "192.0.2.7", "interface", ""},
	{opening{"tcp", "0.0.0.0:1009", "", false, 1}, "0.0.0.0", "every", ""},
	{opening{"tcp", "[::]:1010", "", false, 1}, ":: and IPv4", "every", ""},
	{opening{"tcp", "[::]:1011", "", true, 1}, "::", "every", ""},
	{opening{"tcp", "[::ffff:127.0.0.1]:1012", "", false, 1}, "127.0.0.1", "loopback", "lo"},
	{opening{"tcp", "[::ffff:0.0.0.0]:1013", "", false, 1}, "0.0.0.0", "every", ""},
	{opening{"udp", "127.0.0.1:1014", "", false, 0}, "127.0.0.1", "loopback", "lo"},
	{opening{"udp", "10.9.9.9:1015", "", false, 0}, "10.9.9.9", "interface", "eth0"},
	{opening{"udp", "10.9.9.255:1016", "", false, 0}, "10.9.9.255", "interface", "eth0"},
	{opening{"udp", "255.255.255.255:1017", "", false, 0}, "255.255.255.255", "every", ""},
	{opening{"udp", "224.0.0.251:1018", "", false, 0}, "224.0.0.251", "every", ""},
	{opening{"udp", "224.0.0.251:1019", "eth0", false, 0}, "224.0.0.251", "interface", "eth0"},
	{opening{"udp", "[ff02::fb]:1020", "eth0", false, 0}, "ff02::fb%eth0", "interface", "eth0"},
	{opening{"udp", "[ff01::fb]:1021", "eth0", false, 0}, "ff01::fb", "loopback", "eth0"},
	{opening{"udp", "[::]:1022", "", false, 0}, ":: and IPv4", "every", ""},
}

func TestScopeOfEveryBinding(t *testing.T) {
	needIPv6(t)
	var all []opening
	var want []string
	for _, b := range bindings {
		all = append(all, b.opening)
		at := netip.MustParseAddrPort(b.At)
		want = append(want, fmt.Sprintf("%s %s %d %s %q", b.Protocol, b.bound, at.Port(), b.scope, b.iface))
	}
	var got []string
	for _, l := range play(t, machine(t), "", scene{Open: all}).List.Listeners {
		got = append(got, fmt.Sprintf("%s %s %d %s %q", l.Protocol, l.Bound(), l.Port, l.Scope, l.Interface))
	}
	NewWithT(t).Expect(got).To(Equal(want))
}

func TestAddressOfLoIsReachedFromElsewhere(t *testing.T) {
	on := interfaces{netip.MustParseAddr("10.6.6.6"): "lo"}
	scope, through := on.scopeOf(netip.MustParseAddr("10.6.6.6"), "")
	NewWithT(t).Expect([]string{string(scope), through}).To(Equal([]string{"interface", "lo"}))
}

func TestListenerIsDescribedWhole(t *testing.T) {
	g := NewWithT(t)
	s := machine(t)
	if !s.Facts().Proc {
		t.Skip("a fresh /proc is refused here, and this one shows other processes")
	}
	all := play(t, s, "", scene{Open: []opening{{Protocol: "tcp", At: "127.0.0.1:62893", Backlog: 3}, {Protocol: "udp", At: "127.0.0.1:62893"}}, Connect: "127.0.0.1:62893"})
	g.Expect(all.List.Unseen).To(BeEmpty())
	g.Expect(all.List.Listeners).To(HaveLen(2))
	tcp, udp := all.List.Listeners[0], all.List.Listeners[1]
	g.Expect(tcp.Backlog).To(Equal(&Backlog{Waiting: 1, Limit: 3}))
	g.Expect(udp.Backlog).To(BeNil())
	for _, l := range []Listener{tcp, udp} {
		g.Expect(l.PID).To(Equal(all.PID))
		g.Expect(l.Process).To(Equal(l.Owners[0].Process))
		g.Expect(l.Process).NotTo(BeEmpty())
		g.Expect(l.UID).To(BeZero())
		g.Expect(l.User).To(Equal("root"))
		g.Expect(l.Container).To(Equal(l.Owners[0].Container))
		g.Expect(l.Unowned).To(BeEmpty())
		g.Expect(l.Owners).To(HaveLen(1))
	}
}

func TestOfEachNamespaceItsOwn(t *testing.T) {
	g := NewWithT(t)
	s := machine(t)
	near := play(t, s, "", scene{Open: []opening{{Protocol: "tcp", At: "10.9.9.9:80", Backlog: 1}}})
	far := play(t, s, "far", scene{Open: []opening{{Protocol: "tcp", At: "10.9.9.10:81", Backlog: 1}}})
	one := func(address string) OmegaMatcher {
		return ConsistOf(And(HaveField("Address", netip.MustParseAddr(address)), HaveField("Interface", "eth0")))
	}
	g.Expect(near.List.Listeners).To(one("10.9.9.9"))
	g.Expect(far.List.Listeners).To(one("10.9.9.10"))
}

// shared holds one socket in this process and in children of the given roles.
var shared = sandbox.Register("listeners/shared", func(ctx context.Context, _ *sandbox.Inside, roles []string) (pids []int, err error) {
	fd, err := opening{Protocol: "tcp", At: "127.0.0.1:62893", Backlog: 1}.open()
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	for _, role := range roles {
		_, _, end, err := child(role, func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{file} })
		if err != nil {
			return nil, err
		}
		defer end()
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	list, err := Read(ctx)
	if err != nil {
		return nil, err
	}
	if len(list.Listeners) != 1 {
		return nil, fmt.Errorf("%d listeners", len(list.Listeners))
	}
	l := list.Listeners[0]
	if l.PID != l.Owners[0].PID || l.Process != l.Owners[0].Process {
		return nil, fmt.Errorf("%d %s is not the first of %+v", l.PID, l.Process, l.Owners)
	}
	for _, o := range l.Owners {
		name, err := os.ReadFile("/proc/" + strconv.Itoa(o.PID) + "/comm")
		if err != nil {
			return nil, err
		}
		if o.Process+"\n" != string(name) {
			return nil, fmt.Errorf("process %d is %s, not %s", o.PID, name, o.Process)
		}
		pids = append(pids, o.PID)
	}
	return pids, nil
})

func TestOwnersOfOneSocketStandByPID(t *testing.T) {
	g := NewWithT(t)
	pids, err := shared.Call(t.Context(), machine(t), "", []string{"inherit", "inherit", "inherit"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pids).To(HaveLen(3))
	g.Expect(slices.IsSorted(pids)).To(BeTrue())
}

func TestServiceManagerStandsBehindItsService(t *testing.T) {
	g := NewWithT(t)
	pids, err := shared.Call(t.Context(), machine(t), "", []string{"manager", "inherit"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pids).To(HaveLen(2))
	g.Expect(pids[0]).To(BeNumerically(">", pids[1]), "the manager was started first")
}

// twoPIDNamespaces has a child in a PID namespace of its own hold a socket.
var twoPIDNamespaces = sandbox.Register("listeners/pidns", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) (containers []string, err error) {
	fd, err := opening{Protocol: "tcp", At: "127.0.0.1:62893", Backlog: 1}.open()
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	cmd, _, end, err := child("inherit", func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{file}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	})
	if err != nil {
		return nil, err
	}
	defer end()
	list, err := Read(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range list.Listeners {
		for _, o := range l.Owners {
			containers = append(containers, o.Container)
		}
	}
	link, err := os.Readlink("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/pid")
	return append(containers, link), err
})

func TestPIDNamespaceStandsForAContainerWithoutACgroup(t *testing.T) {
	g := NewWithT(t)
	s := machine(t)
	if !s.Facts().Proc {
		t.Skip("a fresh /proc is refused here")
	}
	seen, err := twoPIDNamespaces.Call(t.Context(), s, "", struct{}{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(seen).To(HaveLen(3))
	if seen[0] != "" {
		t.Skipf("this runs in a container itself: %s", seen[0])
	}
	number := strings.Trim(seen[2], "pid:[]")
	g.Expect(seen[1]).To(Equal("pid namespace " + number))
}

const nobody = 65534

// asNobody has an ordinary user read what root and the user itself listen to.
var asNobody = sandbox.Register("listeners/nobody", func(_ context.Context, _ *sandbox.Inside, _ struct{}) (list List, err error) {
	closeAll, err := openAll([]opening{{Protocol: "tcp", At: "127.0.0.1:62893", Backlog: 1}})
	if err != nil {
		return List{}, err
	}
	defer closeAll()
	_, line, end, err := child("look", func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{}}}
	})
	if err != nil {
		return List{}, err
	}
	defer end()
	return list, json.Unmarshal([]byte(line), &list)
})

func TestOrdinaryUserIsToldWhatItMayNotSee(t *testing.T) {
	g := NewWithT(t)
	s := machine(t)
	if ids := s.Facts().IDs; ids <= nobody {
		t.Skipf("only %d user IDs are to be had in a sandbox: run as root", ids)
	}
	list, err := asNobody.Call(t.Context(), s, "", struct{}{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list.Unseen).To(ContainElement(MatchRegexp(
		`^\d+ process(es)? may not be looked into and could hold any listener: run as the machine's root, with CAP_SYS_PTRACE$`)))
	g.Expect(list.Listeners).To(ConsistOf(
		And(
			HaveField("Port", uint16(62893)), HaveField("UID", int64(0)), HaveField("User", "root"), HaveField("PID", 0),
			HaveField("Process", ""), HaveField("Owners", BeEmpty()), HaveField("Unowned", "not allowed to look"),
		),
		And(
			HaveField("UID", int64(nobody)), HaveField("Owners", HaveLen(1)), HaveField("Unowned", ""),
			HaveField("PID", Not(BeZero())),
		),
	))
}

func TestAgreesWithSS(t *testing.T) {
	needIPv6(t)
	if _, err := exec.LookPath("ss"); err != nil {
		t.Skip(err)
	}
	s := machine(t)
	if !s.Facts().Proc {
		t.Skip("a fresh /proc is refused here, and ss reads it")
	}
	var all []opening
	for _, b := range bindings {
		all = append(all, b.opening)
	}
	result := play(t, s, "", scene{Open: all, SS: true})
	var got []string
	for _, l := range result.List.Listeners {
		queues := ""
		if l.Backlog != nil {
			queues = fmt.Sprintf(" %d %d", l.Backlog.Waiting, l.Backlog.Limit)
		}
		got = append(got, fmt.Sprintf("%s %d%s %s %d", l.Protocol, l.Port, queues, l.Process, l.PID))
	}
	var want []string
	for line := range strings.Lines(result.SS) {
		// Protocol, state, queues, local and remote address, users:(("name",pid=1,fd=3)).
		fields := strings.Fields(line)
		port := fields[4][strings.LastIndexByte(fields[4], ':')+1:]
		queues := ""
		if fields[0] == "tcp" {
			queues = " " + fields[2] + " " + fields[3]
		}
		_, name, _ := strings.Cut(fields[6], `("`)
		name, rest, _ := strings.Cut(name, `",pid=`)
		pid, _, _ := strings.Cut(rest, ",")
		want = append(want, fmt.Sprintf("%s %s%s %s %s", fields[0], port, queues, name, pid))
	}
	NewWithT(t).Expect(got).To(ConsistOf(want))
}

func TestEndedContextEndsRead(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Read(ctx)
	NewWithT(t).Expect(err).To(MatchError(context.Canceled))
}

package socktable_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/socktable"
)

// expectMine expects that this process alone holds the socket, and with these
// descriptors.
func expectMine(t *testing.T, s socktable.Socket, fds ...int) {
	t.Helper()
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	g := NewWithT(t)
	g.Expect(s.Ownership).To(Equal(socktable.Owned))
	g.Expect(s.Owners).To(ConsistOf(And(
		HaveField("PID", os.Getpid()),
		HaveField("Name", strings.TrimSuffix(string(name), "\n")),
		HaveField("UID", BeEquivalentTo(os.Geteuid())),
		HaveField("FDs", ConsistOf(fds)),
	)))
}

func TestEveryDescriptorOfASocketIsNamed(t *testing.T) {
	g := NewWithT(t)
	fd, _ := listener(t, "127.0.0.1:0", 1)
	again, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	g.Expect(err).NotTo(HaveOccurred())
	defer unix.Close(again)
	expectMine(t, find(t, read(t, withOwners), fd), fd, again)
}

func holders(t *testing.T, addr netip.AddrPort) []socktable.Socket {
	t.Helper()
	found, err := socktable.Holders(bounded(t), socktable.Binding{Protocol: socktable.TCP, Local: addr})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestChildIsNamedUntilItIsGone(t *testing.T) {
	g := NewWithT(t)
	cmd, line := child(t, "listen", nil)
	addr := netip.MustParseAddrPort(line)
	found := holders(t, addr)
	g.Expect(found).To(ConsistOf(HaveField("Owners", ConsistOf(And(
		HaveField("PID", cmd.Process.Pid), HaveField("Name", hostileName),
	)))))
	g.Expect(found[0].String()).To(Equal("tcp " + line + ` LISTEN x\x1b[31m\n\\n(y) \xff (pid ` +
		strconv.Itoa(cmd.Process.Pid) + ", uid " + strconv.Itoa(os.Geteuid()) + ")"))

	g.Expect(cmd.Process.Kill()).To(Succeed())
	g.Expect(cmd.Wait()).To(MatchError("signal: killed"))
	g.Expect(holders(t, addr)).To(BeEmpty())
}

func TestSharedSocketNamesEveryProcess(t *testing.T) {
	g := NewWithT(t)
	fd, addr := listener(t, "127.0.0.1:0", 1)
	shared, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	g.Expect(err).NotTo(HaveOccurred())
	file := os.NewFile(uintptr(shared), "listener")
	cmd, _ := child(t, "inherit", func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{file} })
	g.Expect(file.Close()).To(Succeed())
	g.Expect(holders(t, addr)).To(ConsistOf(HaveField("Owners", ConsistOf(
		And(HaveField("PID", os.Getpid()), HaveField("FDs", []int{fd})),
		And(HaveField("PID", cmd.Process.Pid), HaveField("FDs", []int{3})),
	))))
}

// The descriptors of a process whose first thread has ended are those of the
// others.
func TestProcessWithoutItsFirstThreadIsNamed(t *testing.T) {
	g := NewWithT(t)
	cmd, line := child(t, "headless", nil)
	stat := "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/stat"
	g.Eventually(func() (string, error) {
		text, err := os.ReadFile(stat)
		return string(text), err
	}).WithTimeout(patience).Should(ContainSubstring(") Z "), "the first thread is to end")
	g.Expect(holders(t, netip.MustParseAddrPort(line))).
		To(ConsistOf(HaveField("Owners", ConsistOf(HaveField("PID", cmd.Process.Pid)))))
}

func TestOrdinaryUserIsToldWhatItMayNotSee(t *testing.T) {
	root(t, "to become another user")
	g := NewWithT(t)
	_, addr := listener(t, "127.0.0.1:0", 1)
	const nobody = 65534
	_, line := child(t, "look", func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{}},
		}
	})
	var seen view
	g.Expect(json.Unmarshal([]byte(line), &seen)).To(Succeed())
	table := &socktable.Table{Sockets: seen.Sockets}
	g.Expect(seen.Unreadable).To(BeNumerically(">=", 1), "this process at least")

	others := table.Holders(socktable.Binding{Protocol: socktable.TCP, Local: addr})
	g.Expect(others).To(ConsistOf(And(
		HaveField("UID", BeZero()),
		HaveField("Ownership", socktable.NotAllowed),
		HaveField("Owners", BeEmpty()),
	)))
	g.Expect(others[0].String()).To(Equal("tcp " + addr.String() + " LISTEN owner unknown: not allowed to look (uid 0)"))

	own := table.Holders(socktable.Binding{Protocol: socktable.TCP, Local: netip.MustParseAddrPort(seen.Own)})
	g.Expect(own).To(ConsistOf(And(
		HaveField("UID", BeEquivalentTo(nobody)),
		HaveField("Owners", ConsistOf(And(HaveField("PID", seen.PID), HaveField("UID", BeEquivalentTo(nobody))))),
	)))
}

func TestProcessesMayVanishMeanwhile(t *testing.T) {
	g := NewWithT(t)
	if _, err := exec.LookPath("true"); err != nil {
		t.Skip(err)
	}
	fd, _ := listener(t, "127.0.0.1:0", 1)
	ended := make(chan error)
	go func() {
		for range 300 {
			if err := exec.Command("true").Run(); err != nil {
				ended <- err
				return
			}
		}
		close(ended)
	}()
	for reads := 0; ; reads++ {
		select {
		case err := <-ended:
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(reads).NotTo(BeZero())
			return
		default:
			// Until a child has called exec(2) it holds all that this process does.
			g.Expect(find(t, read(t, withOwners), fd).Owners).To(ContainElement(HaveField("PID", os.Getpid())))
		}
	}
}

// The kernel's cgroup number and the path that /proc has of it agree.
func TestCgroupIsTold(t *testing.T) {
	g := NewWithT(t)
	fd, _ := listener(t, "127.0.0.1:0", 1)
	s := find(t, read(t, withOwners), fd)
	if s.CgroupID == 0 {
		t.Skip("this kernel does not tell a socket's cgroup")
	}
	g.Expect(s.Owners).To(HaveLen(1))
	var stat unix.Stat_t
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var fs unix.Statfs_t
		if unix.Statfs(root, &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		g.Expect(unix.Stat(root+s.Owners[0].Cgroup, &stat)).To(Succeed())
		g.Expect(s.CgroupID).To(BeEquivalentTo(stat.Ino))
		return
	}
	t.Skip("no unified hierarchy is mounted")
}

func TestEndedContextEndsRead(t *testing.T) {
	g := NewWithT(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := socktable.Read(ctx, withOwners)
	g.Expect(err).To(MatchError(context.Canceled))
	_, err = socktable.Holders(ctx, socktable.Binding{Protocol: socktable.UDP, Local: netip.MustParseAddrPort("127.0.0.1:9")})
	g.Expect(err).To(MatchError(context.Canceled))
}

package damage_test

import (
	"net"
	"os"
	"slices"
	"syscall"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

var suite = spec.NewSuite("damaged", "Checks with every outcome", 1)

func declared(id string, grade check.Grade) check.Check {
	return check.Check{ID: id, Grade: grade, Source: "this test", Asks: "nothing of the stack", Why: "it shows an outcome"}
}

var (
	_ = suite.It("holds", declared("DMG-001", check.GradeFail), func(SpecContext) {
		lo, err := net.InterfaceByName("lo")
		Expect(err).NotTo(HaveOccurred())
		Expect(lo.Flags&net.FlagUp).NotTo(BeZero(), "lo is up")
	})
	_ = suite.It("does not hold", declared("DMG-002", check.GradeFail), func(SpecContext) { Fail("broken") })
	_ = suite.It("is odd", declared("DMG-003", check.GradeWarn), func(SpecContext) { Fail("odd") })
	_ = suite.It("cannot be asked", declared("DMG-004", check.GradeFail), func(SpecContext) {
		spec.Skip(check.IPv6, "none")
	})
	_ = suite.It("cannot be told", declared("DMG-005", check.GradeFail), func(SpecContext) {
		spec.Inconclusive("too noisy")
	})
	_ = suite.It("cannot send", declared("DMG-006", check.GradeFail), func(SpecContext) {
		conn, err := net.Dial("udp4", "127.0.0.1:9")
		Expect(err).NotTo(HaveOccurred())
		defer conn.Close()
		_, err = conn.Write([]byte("x"))
		Expect(err).To(MatchError(os.ErrPermission))
	})
)

func TestOutcomesOfEveryState(t *testing.T) {
	g := NewWithT(t)
	outcomes := damage.Outcomes(t, nil, "damaged && !DMG-006")
	g.Expect(outcomes).To(HaveLen(5))
	g.Expect(outcomes).To(HaveKeyWithValue("DMG-001", damage.Outcome{State: check.Pass}))
	g.Expect(outcomes).To(HaveKeyWithValue("DMG-002", damage.Outcome{State: check.Fail, Message: "broken"}))
	g.Expect(outcomes).To(HaveKeyWithValue("DMG-003", damage.Outcome{State: check.Warn, Message: "odd"}))
	g.Expect(outcomes["DMG-004"]).To(And(
		HaveField("State", check.Skip), HaveField("Message", ContainSubstring("IPv6"))))
	g.Expect(outcomes).To(HaveKeyWithValue("DMG-005", damage.Outcome{State: check.Inconclusive, Message: "too noisy"}))
}

func TestRunReturnsWhatIsNotSatisfied(t *testing.T) {
	NewWithT(t).Expect(damage.Run(t, nil, "damaged")).To(Equal([]string{"DMG-002", "DMG-003", "DMG-006"}))
}

func TestSetupDamagesTheNamespace(t *testing.T) {
	t.Run("in a subtest", func(t *testing.T) {
		NewWithT(t).Expect(damage.Run(t, []string{
			"nft add table inet broken",
			"nft add chain inet broken out '{ type filter hook output priority 0; policy drop; }'",
		}, "DMG-006")).To(BeEmpty())
	})
}

func TestSyscallsAreAnsweredInTheKernelsPlace(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"refused": {
			Filter:   "DMG-006 || DMG-001",
			Syscalls: []damage.Syscall{{Name: "connect", Length: 16, Errno: syscall.ENETUNREACH}},
			Want:     map[string]string{"DMG-006": "dial udp4 127.0.0.1:9: connect: network is unreachable"},
		},
		"refused another length": {
			Filter:   "DMG-006",
			Syscalls: []damage.Syscall{{Name: "connect", Length: 28, Errno: syscall.ENETUNREACH}},
			Want:     map[string]string{"DMG-006": "Expected an error, got nil"},
		},
		"taken": {
			Filter:   "DMG-006",
			Syscalls: []damage.Syscall{{Name: "bind", Errno: syscall.EPERM}, {Name: "connect"}},
			Want:     map[string]string{"DMG-006": "destination address required"},
		},
	})
}

func TestFileIsReplacedInTheNamespaceAlone(t *testing.T) {
	before, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Skipf("there is no file to replace: %v", err)
	}
	g := NewWithT(t)
	const contents = "it's another\n"
	outcomes := damage.Outcomes(t, slices.Concat(
		damage.File("/etc/hosts", contents),
		[]string{`test "$(cat /etc/hosts)" = "it's another"`},
	), "DMG-001")
	g.Expect(outcomes).To(HaveKeyWithValue("DMG-001", damage.Outcome{State: check.Pass}))
	g.Expect(os.ReadFile("/etc/hosts")).To(Equal(before))
	g.Expect(os.ReadFile("/proc/self/mountinfo")).NotTo(ContainSubstring("- tmpfs file "))
}

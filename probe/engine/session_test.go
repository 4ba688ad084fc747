package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// recording is a docker that writes its arguments into a file, a line each command,
// and has what a dead session, a living one and a user made.
func recording(t *testing.T, more string) (commands func() string) {
	t.Helper()
	onKernel(t, "6.1.0")
	log := filepath.Join(t.TempDir(), "log")
	own, err := self()
	if err != nil {
		t.Skip(err)
	}
	dead := own
	dead.pid = 1 << 30
	fake(t, "docker", fmt.Sprintf("echo \"$*\" >>%s\n"+more+`
case $1 in
context) echo unix:///run/docker.sock ;;
info) printf '28.0\n[name=seccomp]\n6.1.0\nDebian\n' ;;
load) cat >/dev/null ;;
esac
case "$*" in
*--filter*) echo dead living; exit ;;
*inspect*dead) echo %s ;;
*inspect*living) echo %s ;;
esac
`, log, dead, own))
	return func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestOnlyWhatIsMarkedAndOfTheDeadIsSwept(t *testing.T) {
	commands := recording(t, "")
	g := NewWithT(t)
	s := startedSession(t)
	swept, loaded, _ := strings.Cut(commands(), "load\n")
	g.Expect(loaded).To(BeEmpty())
	var removed []string
	for line := range strings.Lines(swept) {
		if strings.Contains(line, "rm ") {
			removed = append(removed, strings.TrimSpace(line))
		}
		if strings.Contains(line, " ls ") || strings.HasPrefix(line, "ps ") {
			g.Expect(line).To(ContainSubstring("--filter label=" + ownerLabel))
		}
	}
	g.Expect(removed).To(Equal([]string{"rm --force dead", "network rm dead", "image rm dead"}))
	g.Expect(s.Close(t.Context())).To(Succeed())
}

// startedSession is one with the fake that goes by the name of docker.
func startedSession(t *testing.T) *Session {
	t.Helper()
	e, err := Find(t.Context(), "docker")
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Start(t.Context(), []byte("binary"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What was made and could not be started is removed, and what was never made is not
// missed.
func TestWhatIsLeftHalfMadeIsRemoved(t *testing.T) {
	commands := recording(t, `case "$1 $2" in
"run --rm") echo 'port is already allocated' >&2; exit 125 ;;
"rm --force") echo 'No such container: it' >&2; exit 1 ;;
"network create") echo 'could not find an available address pool' >&2; exit 1 ;;
"network rm") echo 'network loopcheck-1 not found' >&2; exit 1 ;;
esac
`)
	g := NewWithT(t)
	s := startedSession(t)
	_, err := s.Run(t.Context(), Options{})
	g.Expect(err).To(MatchError(ContainSubstring("already allocated")))
	_, err = s.Network(t.Context())
	g.Expect(err).To(MatchError(ContainSubstring("address pool")))
	g.Expect(s.Close(t.Context())).To(Succeed())
	g.Expect(commands()).To(And(
		ContainSubstring("run --rm --interactive --pull never --label "+s.label+" --name "+s.name+"-1 "),
		ContainSubstring("rm --force "+s.name+"-1\n"),
		ContainSubstring("network create --label "+s.label+" "+s.name+"-2\n"),
		ContainSubstring("network rm "+s.name+"-2\n"),
	))
}

func TestAnImageThatCannotBeRemovedIsTold(t *testing.T) {
	recording(t, `case "$1 $2" in "image rm") echo 'image is being used' >&2; exit 1 ;; esac
`)
	g := NewWithT(t)
	s := startedSession(t)
	g.Expect(s.Close(t.Context())).To(MatchError(ContainSubstring("image is being used")))
}

// The host's network needs the host's users where a daemon gives containers others.
func TestTheHostsNetworkIsThatOfItsUsers(t *testing.T) {
	for name, c := range map[string]struct {
		security, network string
		want              bool
	}{
		"remapped, the host's":     {"[name=seccomp,profile=builtin name=userns name=cgroupns]", HostNetwork, true},
		"remapped, the engine's":   {"[name=seccomp,profile=builtin name=userns name=cgroupns]", "", false},
		"not remapped, the host's": {"[name=seccomp,profile=builtin name=cgroupns]", HostNetwork, false},
		"without root, the host's": {"[name=seccomp,profile=builtin name=rootless name=cgroupns]", HostNetwork, false},
	} {
		t.Run(name, func(t *testing.T) {
			commands := recording(t, fmt.Sprintf(`case $1 in
info) printf '28.0\n%s\n6.1.0\nDebian\n'; exit ;;
run) echo '{}'; exec cat >/dev/null ;;
esac
`, c.security))
			g := NewWithT(t)
			s := startedSession(t)
			_, err := s.Run(t.Context(), Options{Network: c.network})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(s.Close(t.Context())).To(Succeed())
			g.Expect(strings.Contains(commands(), " --network host --userns host ")).To(Equal(c.want), "what docker was told: %s", commands())
		})
	}
}

// An engine that refuses the host's network may start any other container.
func TestTheHostsNetworkThatIsRefusedBreaksNothing(t *testing.T) {
	recording(t, `case "$*" in "run "*) echo 'cannot start it' >&2; exit 125 ;; esac
`)
	g := NewWithT(t)
	s := startedSession(t)
	_, err := s.Run(t.Context(), Options{Network: HostNetwork})
	g.Expect(err).To(HaveOccurred())
	g.Expect(s.Broken()).NotTo(HaveOccurred())
	_, err = s.Run(t.Context(), Options{})
	g.Expect(err).To(HaveOccurred())
	g.Expect(s.Broken()).To(MatchError(err.Error()))
	g.Expect(s.Close(t.Context())).To(Succeed())
}

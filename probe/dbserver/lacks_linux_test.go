package dbserver

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/surroundings"
	"github.com/loopcheck/loopcheck/probe/process"
)

// another tells a test binary that it was started again.
const another = "LOOPCHECK_TEST_ANOTHER"

// inAnother runs a test again in a process that begins with fewer rights, and to
// which user namespaces are refused.
func inAnother(t *testing.T, attributes *syscall.SysProcAttr, bounds process.Capabilities, test func(*testing.T)) {
	t.Helper()
	if os.Getenv(another) == t.Name() {
		if err := surroundings.RefuseUserNamespaces(); err != nil {
			t.Fatal(err)
		}
		test(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to be run as another")
	}
	var parts []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		parts = append(parts, "^"+part+"$")
	}
	command := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run="+strings.Join(parts, "/"), "-test.count=1", "-test.v")
	command.Env = append(os.Environ(), another+"="+t.Name(), "TMPDIR=/tmp", "HOME=/tmp")
	command.SysProcAttr = attributes
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with this function
		for number := range 64 {
			if !bounds.Has(number) {
				_ = unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(number), 0, 0, 0) // which no kernel has all of
			}
		}
		started <- command.Start()
	}()
	err := <-started
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		t.Skip("needs to start a process as another: ", err)
	}
	if err == nil {
		err = command.Wait()
	}
	t.Log(output.String())
	if err != nil || !strings.Contains(output.String(), "--- PASS: "+t.Name()) {
		t.Errorf("as another: %v", err)
	}
}

const allCapabilities = ^process.Capabilities(0)

func TestRootThatMayNotBecomeAnotherIsTold(t *testing.T) {
	one := []syscall.SysProcIDMap{{Size: 1}}
	for name, c := range map[string]struct {
		attributes *syscall.SysProcAttr
		bounds     process.Capabilities
	}{
		"no_capability":       {nil, 0},
		"no_right_to_kill":    {nil, privileges &^ (1 << process.Kill)},
		"no_right_to_give":    {nil, privileges &^ (1 << process.Chown)},
		"one_user_and_groups": {&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: one, GidMappings: one, GidMappingsEnableSetgroups: true}, allCapabilities},
		"one_user":            {&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: one, GidMappings: one}, allCapabilities},
	} {
		t.Run(name, func(t *testing.T) {
			inAnother(t, c.attributes, c.bounds, func(t *testing.T) {
				g := NewWithT(t)
				k, err := Start(t.Context())
				if err == nil {
					_ = k.Close()
				}
				g.Expect(errors.As(err, new(*PrivilegeError))).To(BeTrue(), "%v", err)
			})
		})
	}
}

func TestRootWithTheRightsItTakesIsEnough(t *testing.T) {
	needPrograms(t)
	inAnother(t, nil, privileges, func(t *testing.T) {
		g := NewWithT(t)
		k, err := Start(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		defer k.Close()
		g.Expect(k.box.Facts().Plain).To(BeTrue())
		for _, start := range []func() (*Server, error){
			func() (*Server, error) { return k.Redis(t.Context()) },
			func() (*Server, error) { return k.Postgres(t.Context()) },
		} {
			s, err := start()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(s.Kill(t.Context())).To(Succeed())
			g.Expect(s.Restart(t.Context())).To(Succeed())
		}
	})
}

func TestUserWithoutANameIsTold(t *testing.T) {
	needPrograms(t)
	const stranger = 54321
	as := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	inAnother(t, as, allCapabilities, func(t *testing.T) {
		g := NewWithT(t)
		k, err := Start(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		defer k.Close()
		unknown, ok := errors.AsType[*UnknownUserError](k.MakePostgres(t.Context()))
		g.Expect(ok).To(BeTrue())
		g.Expect(unknown.UID).To(Equal(stranger))
		_, err = k.Redis(t.Context())
		g.Expect(err).NotTo(HaveOccurred(), "Redis asks for no name")
	})
}

// public makes a folder that everybody may enter and write.
func public(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "public-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestFolderOfServersIsOneTheyCanUse(t *testing.T) {
	g := NewWithT(t)
	before := held.facts
	t.Cleanup(func() { held.facts = before })
	held.facts.Plain = true

	parent := public(t)
	within := func(name string, mode os.FileMode) string {
		folder := filepath.Join(parent, name)
		g.Expect(os.Mkdir(folder, 0o700)).To(Succeed())
		g.Expect(os.Chmod(folder, mode)).To(Succeed())
		return folder
	}
	unfit := map[string]string{
		filepath.Join(parent, "missing"):        "no such file",
		within(strings.Repeat("x", 120), 0o777): "longer than 107 bytes",
		within("with a blank", 0o777):           "cannot be written in the settings",
		within("with,a comma", 0o777):           "cannot be written in the settings",
		"/proc/self":                            "mkdir|no such file|not permitted|denied",
	}
	if os.Geteuid() == 0 {
		unfit[within("closed", 0o700)] = "enter .*/closed/.* as the user 65534: permission denied"
	}
	good := within("good", 0o777)
	for place, why := range unfit {
		folder, err := temporaryFolder([]string{place, place, good})
		g.Expect(err).NotTo(HaveOccurred(), place)
		g.Expect(filepath.Dir(folder)).To(Equal(good), place)
		_, err = temporaryFolder([]string{place, place})
		g.Expect(err).To(MatchError(MatchRegexp(why)))
		g.Expect(strings.Count(err.Error(), ";")).To(BeZero(), "each place is tried once: %v", err)
		left, _ := os.ReadDir(place)
		if place != "/proc/self" {
			g.Expect(left).To(BeEmpty(), place)
		}
	}
	t.Chdir(good)
	g.Expect(temporaryFolder([]string{"."})).To(HavePrefix(good+"/"), "servers run elsewhere")
}

// The servers run where the user's folder for temporary files is none for them.
func TestServersRunWithoutTheFolderForTemporaryFiles(t *testing.T) {
	needPrograms(t)
	inAnother(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}, allCapabilities, func(t *testing.T) {
		for _, place := range []string{"/missing", filepath.Join(public(t), strings.Repeat("x", 120))} {
			g := NewWithT(t)
			t.Setenv("TMPDIR", place)
			_ = os.Mkdir(place, 0o700)
			k, err := Start(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			t.Cleanup(func() { g.Expect(k.Close()).To(Succeed()) })
			s, err := k.Redis(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(speak(t, "unix", s.Socket, ping)).To(HavePrefix("-NOAUTH"))
		}
	})
}

func TestProgramsThatTheServersUserCannotExecuteArePassedOver(t *testing.T) {
	surroundings.Everywhere(t, func(t *testing.T, kind surroundings.Kind) {
		g := NewWithT(t)
		parent := public(t)
		script := func(folder string, folderMode, mode os.FileMode) string {
			folder = filepath.Join(parent, folder)
			g.Expect(os.Mkdir(folder, 0o700)).To(Succeed())
			path := filepath.Join(folder, "redis-server")
			g.Expect(os.WriteFile(path, []byte("#!/bin/sh\necho Redis server v=7.0.0\n"), 0o700)).To(Succeed())
			g.Expect(os.Chmod(path, mode)).To(Succeed())
			g.Expect(os.Chmod(folder, folderMode)).To(Succeed())
			return path
		}
		closed := []string{script("file", 0o755, 0o600)}
		if !kind.Ordinary {
			closed = append(closed, script("folder", 0o700, 0o755))
		}
		good := script("good", 0o755, 0o755)
		k, err := Start(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { g.Expect(k.Close()).To(Succeed()) })
		for _, program := range closed {
			g.Expect(k.usable(t.Context(), []string{program, good}, oldestRedis)).To(Equal(good))
			_, err := k.usable(t.Context(), []string{program}, oldestRedis)
			unusable, ok := errors.AsType[*UnusableError](err)
			g.Expect(ok).To(BeTrue(), "%s: %v", program, err)
			g.Expect(unusable.Program).To(Equal(program))
			g.Expect(err).To(MatchError(syscall.EACCES))
		}
	})
}

func TestProgramsAreLookedForInAllOfThePath(t *testing.T) {
	g := NewWithT(t)
	parent := public(t)
	t.Chdir(parent)
	for _, folder := range []string{"a", "b"} {
		g.Expect(os.Mkdir(folder, 0o755)).To(Succeed())
		g.Expect(os.WriteFile(folder+"/redis-server", nil, 0o755)).To(Succeed())
	}
	a, b := parent+"/a/redis-server", parent+"/b/redis-server"
	t.Setenv("PATH", "a:"+parent+"/a:"+parent+"/missing:"+parent+"/b")
	found, err := redisPrograms()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found[:2]).To(Equal([]string{a, b}))
	g.Expect(found).To(HaveEach(HavePrefix("/")))
}

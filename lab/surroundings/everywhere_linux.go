package surroundings

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// Kind is who runs a test, and what the kernel lets him do.
type Kind struct {
	Name string
	// Ordinary says that it is a user without any privilege.
	Ordinary bool
	// NoUserNamespaces says that the kernel refuses those.
	NoUserNamespaces bool
}

// Sandboxes says whether such a user can have private namespaces at all.
func (k Kind) Sandboxes() bool { return !k.Ordinary || !k.NoUserNamespaces }

var kinds = []Kind{
	{Name: "root"},
	{Name: "root without user namespaces", NoUserNamespaces: true},
	{Name: "ordinary user", Ordinary: true},
	{Name: "ordinary user without user namespaces", Ordinary: true, NoUserNamespaces: true},
}

// variable tells a test binary that it was started again, and as what.
const variable = "LOOPCHECK_TEST_SURROUNDINGS"

// nobody owns nothing on any Linux.
const nobody = 65534

// Everywhere runs a test once for each kind of user that this one can become:
// root all of them, an ordinary user himself with and without user namespaces.
// Each run is a process of its own.
func Everywhere(t *testing.T, test func(*testing.T, Kind)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind.Name, func(t *testing.T) {
			if os.Getenv(variable) == kind.Name {
				if kind.NoUserNamespaces {
					if err := RefuseUserNamespaces(); err != nil {
						t.Fatal(err)
					}
				}
				test(t, kind)
				return
			}
			if !kind.Ordinary && os.Geteuid() != 0 {
				t.Skip("needs root to be run as root")
			}
			again(t, kind)
		})
	}
}

// again runs this very test as that kind of user.
func again(t *testing.T, kind Kind) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run="+pattern(t.Name()), "-test.count=1", "-test.v")
	command.Env = append(os.Environ(), variable+"="+kind.Name)
	command.SysProcAttr = &syscall.SysProcAttr{}
	if kind.Ordinary && os.Geteuid() == 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{}}
		// Root's folder for temporary files may be closed to others.
		command.Env = append(command.Env, "TMPDIR=/tmp", "HOME=/tmp")
	}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	t.Log(output.String())
	switch {
	case err != nil:
		t.Errorf("as %s: %v", kind.Name, err)
	case strings.Contains(output.String(), "--- SKIP: "+t.Name()):
		t.Skip("it skipped itself")
	case !strings.Contains(output.String(), "--- PASS: "+t.Name()):
		t.Errorf("as %s the test was not run", kind.Name)
	}
}

// pattern selects exactly the named test or subtest.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

package report

import (
	"encoding/xml"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2/reporters"

	"github.com/loopcheck/loopcheck/harness/check"
)

func junitOf(t *testing.T, r *Report) reporters.JUnitTestSuites {
	t.Helper()
	var document reporters.JUnitTestSuites
	if err := xml.Unmarshal(rendered(t, JUnit(r)), &document); err != nil {
		t.Fatalf("it is not well-formed: %v", err)
	}
	return document
}

func TestJUnitGolden(t *testing.T) {
	golden(t, "fixture.junit.xml", rendered(t, JUnit(fixture(t))))
}

// A reporter writes where it is told to and nowhere else, so that it works
// where no other file can be made.
func TestJUnitNeedsNoOtherFile(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent")
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, absent)
	}
	junitOf(t, fixture(t))
}

func TestJUnitPassesOnAnErrorOfWriting(t *testing.T) {
	broken := errors.New("disk full")
	for _, room := range []int{0, len(xml.Header), 1000} {
		err := JUnit(fixture(t))(&tooSmall{room: room, err: broken})
		if !errors.Is(err, broken) {
			t.Errorf("after %d bytes: error %v, want %v", room, err, broken)
		}
	}
}

// tooSmall takes some bytes and then gives an error.
type tooSmall struct {
	room int
	err  error
}

func (s *tooSmall) Write(p []byte) (int, error) {
	if len(p) > s.room {
		n := s.room
		s.room = 0
		return n, s.err
	}
	s.room -= len(p)
	return len(p), nil
}

func TestJUnitCounts(t *testing.T) {
	document := junitOf(t, fixture(t))
	if len(document.TestSuites) != 3 {
		t.Fatalf("%d suites, want 3", len(document.TestSuites))
	}
	// Three skips and the inconclusive check are skipped; the interrupted one
	// is an error; the warning is neither.
	if document.Tests != 12 || document.Failures != 2 || document.Errors != 1 || document.Disabled != 4 {
		t.Errorf("tests %d, failures %d, errors %d, disabled %d; want 12, 2, 1, 4",
			document.Tests, document.Failures, document.Errors, document.Disabled)
	}
}

func TestJUnitStates(t *testing.T) {
	cases := map[string]reporters.JUnitTestCase{}
	for _, suite := range junitOf(t, fixture(t)).TestSuites {
		for _, test := range suite.TestCases {
			id, _, _ := strings.Cut(test.Name, " ")
			cases[id] = test
			if test.Classname != suite.Name {
				t.Errorf("%s is of class %q in suite %q", id, test.Classname, suite.Name)
			}
		}
	}
	if failed := cases["PING-002"].Failure; failed == nil || !strings.Contains(failed.Message, "echoes from ::1 within 1 s") ||
		!strings.Contains(failed.Description, "remedy: sysctl -w net.ipv6.conf.lo.disable_ipv6=0") {
		t.Errorf("PING-002: %+v", failed)
	}
	if failed := cases["TCP-005"].Failure; failed == nil ||
		!strings.Contains(failed.Description, "remedy: nft delete rule inet filter input handle 7\n  It takes the rule away for every interface") {
		t.Errorf("TCP-005: %+v", failed)
	}
	if warned := cases["TCP-051"]; warned.Failure != nil || warned.Error != nil || warned.Skipped != nil ||
		!strings.HasPrefix(warned.SystemOut, "warning: net.core.somaxconn is 128") ||
		!strings.Contains(warned.SystemOut, "not looked at: netfilter rules: reading them takes CAP_NET_ADMIN") {
		t.Errorf("TCP-051: %+v", warned)
	}
	if skip := cases["PING-013"].Skipped; skip == nil || !strings.Contains(skip.Message, "needs CAP_NET_RAW") {
		t.Errorf("PING-013: %+v", skip)
	}
	if out := cases["PING-013"].SystemOut; !strings.Contains(out, "cause: loopcheck runs as user 1000 without CAP_NET_RAW\n") ||
		!strings.Contains(out, "remedy: setcap cap_net_raw+ep /usr/local/bin/loopcheck\n  Or run it as root.\n") {
		t.Errorf("PING-013 tells %q", out)
	}
	if out := cases["PING-019"].SystemOut; out != "" {
		t.Errorf("PING-019, whose cause is not known, tells %q", out)
	}
	if skip := cases["UDP-003"].Skipped; skip == nil || !strings.HasPrefix(skip.Message, "skipped - inconclusive: the hypervisor") {
		t.Errorf("UDP-003: %+v", skip)
	}
	if stopped := cases["UDP-010"].Error; stopped == nil || stopped.Type != "interrupted" || stopped.Message == "" {
		t.Errorf("UDP-010: %+v", stopped)
	}
}

func TestJUnitAlwaysHasAMessage(t *testing.T) {
	for _, state := range check.States {
		r := &Report{Checks: []Check{{ID: "TCP-001", Suite: "tcp", State: state, Message: " \n"}}}
		test := junitOf(t, r).TestSuites[0].TestCases[0]
		switch {
		case test.Failure != nil && strings.TrimSpace(test.Failure.Message) == "",
			test.Error != nil && strings.TrimSpace(test.Error.Message) == "",
			test.Skipped != nil && strings.TrimSpace(test.Skipped.Message) == "":
			t.Errorf("%s has an empty message", state)
		}
	}
}

package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
)

func junitOf(t *testing.T, r *Report) junitSuites {
	t.Helper()
	var document junitSuites
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
	if len(document.Suites) != 3 {
		t.Fatalf("%d suites, want 3", len(document.Suites))
	}
	// Three skips and the inconclusive check are skipped; the interrupted one
	// is an error; the warning is neither.
	skipped := 0
	for _, s := range document.Suites {
		skipped += s.Skipped
	}
	if document.Tests != 12 || document.Failures != 2 || document.Errors != 1 || skipped != 4 {
		t.Errorf("tests %d, failures %d, errors %d, skipped %d; want 12, 2, 1, 4",
			document.Tests, document.Failures, document.Errors, skipped)
	}
}

func TestJUnitStates(t *testing.T) {
	cases := map[string]junitCase{}
	for _, suite := range junitOf(t, fixture(t)).Suites {
		for _, test := range suite.Cases {
			id, _, _ := strings.Cut(test.Name, " ")
			cases[id] = test
			if test.Classname != suite.Name {
				t.Errorf("%s is of class %q in suite %q", id, test.Classname, suite.Name)
			}
		}
	}
	if failed := cases["PING-002"].Failure; failed == nil || !strings.Contains(failed.Message, "echoes from ::1 within 1 s") ||
		!strings.Contains(failed.Text, "remedy: sysctl -w net.ipv6.conf.lo.disable_ipv6=0") {
		t.Errorf("PING-002: %+v", failed)
	}
	if failed := cases["TCP-005"].Failure; failed == nil ||
		!strings.Contains(failed.Text, "remedy: nft delete rule inet filter input handle 7\n  It takes the rule away for every interface") {
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
	if skip := cases["UDP-003"].Skipped; skip == nil || !strings.HasPrefix(skip.Message, "inconclusive: the hypervisor") {
		t.Errorf("UDP-003: %+v", skip)
	}
	if stopped := cases["UDP-010"].Error; stopped == nil || stopped.Type != "interrupted" || stopped.Message == "" {
		t.Errorf("UDP-010: %+v", stopped)
	}
}

// Jenkins shows the attribute, and GitLab the text: neither is ever empty.
func TestJUnitAlwaysHasAMessage(t *testing.T) {
	for _, state := range check.States {
		r := &Report{Checks: []Check{{ID: "TCP-001", Suite: "tcp", State: state, Message: " \n"}}}
		test := junitOf(t, r).Suites[0].Cases[0]
		for _, told := range []*junitAccount{test.Failure, test.Error, test.Skipped} {
			if told != nil && (strings.TrimSpace(told.Message) == "" || strings.TrimSpace(told.Text) == "" || told.Type == "") {
				t.Errorf("%s tells %+v", state, told)
			}
		}
	}
}

// junitForm is what the schema of Jenkins' xUnit plugin (junit-10.xsd) takes, which is
// stricter than Jenkins' own reader and GitLab's: of each element the attributes, those
// that have to be there first, and the elements in it.
var junitForm = map[string]struct{ needs, may, holds []string }{
	"testsuites": {nil, []string{"name", "time", "tests", "failures", "errors"}, []string{"testsuite"}},
	"testsuite": {
		[]string{"name", "tests", "failures", "errors"},
		[]string{"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
		[]string{"testsuite", "properties", "testcase", "system-out", "system-err"},
	},
	"properties": {nil, nil, []string{"property"}},
	"property":   {[]string{"name", "value"}, nil, nil},
	"testcase": {
		[]string{"name"},
		[]string{"time", "classname", "group"},
		[]string{"skipped", "error", "failure", "system-out", "system-err"},
	},
	"skipped":    {nil, []string{"type", "message"}, nil},
	"error":      {nil, []string{"type", "message"}, nil},
	"failure":    {nil, []string{"type", "message"}, nil},
	"system-out": {},
}

// junitTime is the form of times in that schema.
var junitTime = regexp.MustCompile(`^(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?$`)

func TestJUnitHasTheFormThatReadersTake(t *testing.T) {
	nothing := &Report{}
	brief := &Report{Duration: 90 * time.Hour, Checks: []Check{{ID: "TCP-001", Suite: "tcp", State: check.Pass, Duration: 900}}}
	for name, r := range map[string]*Report{"fixture": fixture(t), "nothing": nothing, "brief": brief, "large": large(t)} {
		t.Run(name, func(t *testing.T) {
			within := []string{""}
			// A character that XML forbids is an error of the decoder.
			for decoder := xml.NewDecoder(bytes.NewReader(rendered(t, JUnit(r)))); ; {
				token, err := decoder.Token()
				if err == io.EOF {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				switch e := token.(type) {
				case xml.EndElement:
					within = within[:len(within)-1]
				case xml.StartElement:
					parent := within[len(within)-1]
					within = append(within, e.Name.Local)
					if parent != "" && !slices.Contains(junitForm[parent].holds, e.Name.Local) {
						t.Errorf("%s in %s", e.Name.Local, parent)
					}
					wantForm(t, e)
				}
			}
		})
	}
}

// wantForm holds an element against junitForm.
func wantForm(t *testing.T, e xml.StartElement) {
	t.Helper()
	form := junitForm[e.Name.Local]
	var names []string
	for _, a := range e.Attr {
		names = append(names, a.Name.Local)
		if a.Name.Local == "time" && !junitTime.MatchString(a.Value) {
			t.Errorf("time %q of %s", a.Value, e.Name.Local)
		}
	}
	for _, name := range names {
		if !slices.Contains(slices.Concat(form.needs, form.may), name) {
			t.Errorf("%s has %s", e.Name.Local, name)
		}
	}
	for _, name := range form.needs {
		if !slices.Contains(names, name) {
			t.Errorf("%s has no %s", e.Name.Local, name)
		}
	}
}

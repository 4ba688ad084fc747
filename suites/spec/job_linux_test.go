package spec

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	m.Run()
}

// span is when something began and ended.
type span struct{ Began, Ended time.Time }

// waitAWhile waits for a datagram that never comes.
func waitAWhile(ctx context.Context, _ *sandbox.Inside) (s span, err error) {
	s.Began = time.Now()
	held, _, err := sock.ClosedUDP(sock.IPv4)
	if err != nil {
		return s, err
	}
	defer held.Close()
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := held.Poll(ctx, sock.Readable); !errors.Is(err, context.DeadlineExceeded) {
		return s, errors.Join(errors.New("something came"), err)
	}
	s.Ended = time.Now()
	return s, nil
}

var (
	waits     = map[string]span{}
	benchmark time.Time

	// One preparation is for a check that is left out, the other for one that is not.
	_ = Prepare(lastSuite, func(c check.Check) bool { return c.ID == "WAIT-004" },
		func(context.Context) (span, error) { panic("it was prepared") }, func(span) {})
	wanted = Prepare(lastSuite, func(c check.Check) bool { return c.ID == "WAIT-001" },
		func(ctx context.Context) (span, error) { return waitAWhile(ctx, nil) }, func(s span) { preparedEnded = append(preparedEnded, s) })
	// preparedEnded are what wanted made, as they were ended.
	preparedEnded []span

	firstSuite = NewSuite("bench", "What is measured", 1)
	lastSuite  = NewSuite("wait", "What waits", 2)

	_ = firstSuite.It("is measured", entryOf("BENCH-001", true), func(ginkgo.SpecContext) { benchmark = time.Now() })
	_ = Job(lastSuite, "waits", entryOf("WAIT-001", false), waitAWhile, func(_ ginkgo.SpecContext, s span) { waits["WAIT-001"] = s })
	_ = Job(lastSuite, "waits, too", entryOf("WAIT-002", false), waitAWhile, func(_ ginkgo.SpecContext, s span) { waits["WAIT-002"] = s })
	_ = Job(lastSuite, "fails", entryOf("WAIT-003", false), waitAWhile, func(_ ginkgo.SpecContext, s span) {
		gomega.Expect(s.Ended).To(gomega.BeZero(), "the end")
	})
	_ = Job(lastSuite, "is left out", entryOf("WAIT-004", false), waitAWhile, func(ginkgo.SpecContext, span) { panic("it was asked") })
)

func entryOf(id string, benchmark bool) check.Check {
	return check.Check{ID: id, Grade: check.GradeFail, Source: "here", Asks: "this", Why: "that", Benchmark: benchmark}
}

func TestJobsRunSideBySideAndNothingIsMeasuredMeanwhile(t *testing.T) {
	if s, err := sandbox.Start(t.Context(), sandbox.Config{}); err != nil {
		t.Skip(err)
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	states := map[string]types.SpecState{}
	locations := map[string]string{}
	ginkgo.ReportAfterEach(func(report ginkgo.SpecReport) {
		id := report.LeafNodeLabels[0]
		states[id] = report.State
		locations[id] = report.LeafNodeLocation.FileName
	})
	suiteConfig, reporterConfig := ginkgo.GinkgoConfiguration()
	suiteConfig.LabelFilter = "!WAIT-004"
	var quiet quietT
	ginkgo.RunSpecs(&quiet, "jobs", suiteConfig, reporterConfig)

	for id, want := range map[string]types.SpecState{
		"BENCH-001": types.SpecStatePassed, "WAIT-001": types.SpecStatePassed, "WAIT-002": types.SpecStatePassed,
		"WAIT-003": types.SpecStateFailed, "WAIT-004": types.SpecStateSkipped,
	} {
		if states[id] != want {
			t.Errorf("%s: %v, want %v", id, states[id], want)
		}
	}
	first, second := waits["WAIT-001"], waits["WAIT-002"]
	if first.Began.After(second.Ended) || second.Began.After(first.Ended) {
		t.Errorf("one waited after the other: %v, %v", first, second)
	}
	made, err := wanted.Await(t.Context())
	if err != nil || len(preparedEnded) != 1 || preparedEnded[0] != made {
		t.Errorf("what was prepared is %v, %v, and what was ended %v", made, err, preparedEnded)
	}
	for _, other := range []span{first, second, made} {
		if benchmark.Before(other.Ended) {
			t.Errorf("the benchmark ran at %v beside %v", benchmark, other)
		}
	}
	if _, started := jobs.started["WAIT-004"]; started {
		t.Error("a job that was not selected was started")
	}
	if locations["WAIT-001"] != locations["BENCH-001"] {
		t.Errorf("a job is said to stand in %s", locations["WAIT-001"])
	}
}

// quietT takes the verdict of specs that are meant to fail.
type quietT struct{}

func (*quietT) Fail() {}

package run

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/loopcheck/loopcheck/harness/report"
)

// examining is a recorder that looks at notes, of which some fail, and may be
// told to stop by one.
func examining(stop chan struct{}, w *witness, looks ...func(context.Context) (report.Firewall, error)) *recorder {
	return &recorder{opts: Options{Stop: stop, Observers: []Observer{w}, Examine: looks}, report: &report.Report{}}
}

func finds(note string) func(context.Context) (report.Firewall, error) {
	return func(context.Context) (report.Firewall, error) { return report.Firewall{Notes: []string{note}}, nil }
}

func TestExamineKeepsWhatWasFound(t *testing.T) {
	broken := errors.New("out of ink")
	var w witness
	r := examining(nil, &w, finds("one"), func(context.Context) (report.Firewall, error) { return report.Firewall{}, broken }, finds("three"))
	if err := r.examine(); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if want := []string{"one", "three"}; !slices.Equal(r.report.Firewall.Notes, want) || !slices.Equal(w.examined, want) {
		t.Errorf("the report has %v, the observer was told %v", r.report.Firewall.Notes, w.examined)
	}
}

// Once the run is told to stop, what is under way ends and nothing more begins.
func TestExamineStops(t *testing.T) {
	stop := make(chan struct{})
	var w witness
	r := examining(stop, &w, finds("one"), func(ctx context.Context) (report.Firewall, error) {
		close(stop)
		<-ctx.Done()
		return report.Firewall{}, ctx.Err()
	}, finds("three"))
	if err := r.examine(); err != nil {
		t.Errorf("error %v", err)
	}
	if want := []string{"one"}; !slices.Equal(r.report.Firewall.Notes, want) {
		t.Errorf("the report has %v", r.report.Firewall.Notes)
	}
}

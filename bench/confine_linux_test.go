package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// belongings is what this process has, as far as the kernel knows.
type belongings struct {
	files, children int
	processors      int // of Go
	affinities      map[int]unix.CPUSet
}

func belong(t *testing.T) belongings {
	t.Helper()
	b := belongings{processors: runtime.GOMAXPROCS(0), affinities: map[int]unix.CPUSet{}}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	b.files = len(files)
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list) // of a thread that ended: none
		b.children += len(strings.Fields(string(text)))
	}
	if err := eachThread(func(tid int) error {
		var may unix.CPUSet
		if err := unix.SchedGetaffinity(tid, &may); err != nil {
			return err
		}
		b.affinities[tid] = may
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNothingOfTheProcessIsChanged(t *testing.T) {
	if _, err := Measure(t.Context(), []Spec{{Transport: TCP, Engine: NetConn}}, short); err != nil {
		t.Fatal(err) // and what is opened once, such as the poller, is open
	}
	processors := processorsOf(t, Spec{Placement: topology.SameCore})
	// A thread that stays somewhere for a reason of its own stays there.
	hold, held := make(chan struct{}), make(chan int)
	done := make(chan error, 1)
	go func() {
		done <- topology.On(processors.Server, func() error {
			held <- unix.Gettid()
			<-hold
			return nil
		})
	}()
	staying := <-held
	before := belong(t)
	for _, placement := range []topology.Placement{topology.Free, topology.SameCore, topology.CrossCore} {
		for _, s := range netSpecs() {
			if s.Op == CRRGraceful && s.Transport == TLS {
				continue // takes the longest, and leaves what tcp does
			}
			s.Placement = placement
			_, err := Measure(t.Context(), []Spec{s}, short)
			if _, lacks := errors.AsType[*topology.UnavailableError](err); err != nil && !lacks {
				t.Errorf("%s: %v", s.Name(), err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(30*time.Millisecond, cancel)
			_, _ = Measure(ctx, []Spec{s}, Plan{Restarts: 1, Window: time.Hour})
			timer.Stop()
			cancel()
		}
	}
	after := belong(t)
	if after.files > before.files || after.children != before.children || after.processors != before.processors {
		t.Errorf("there were %d files, %d children, %d of Go's processors; then %d, %d, %d", before.files, before.children, before.processors,
			after.files, after.children, after.processors)
	}
	var usual unix.CPUSet
	for _, may := range before.affinities {
		if may.Count() > usual.Count() {
			usual = may
		}
	}
	for tid, may := range after.affinities {
		want, known := before.affinities[tid]
		if !known {
			want = usual
		}
		if may != want {
			t.Errorf("thread %d (there before: %v) may run on %v, want %v", tid, known, may, want)
		}
	}
	if may := after.affinities[staying]; may.Count() != 1 {
		t.Error("a thread that stayed on a processor does not any more")
	}
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestConfinedMovesEveryThreadAndBack(t *testing.T) {
	cpu := processorsOf(t, Spec{Placement: topology.SameCore}).Client
	before := belong(t)
	broken := errors.New("broken")
	inside := func(f func()) (err error) {
		defer func() {
			if value := recover(); value != nil {
				err = fmt.Errorf("panicked: %v", value)
			}
		}()
		return confined(cpu, func() error {
			for tid, may := range belong(t).affinities {
				if may.Count() != 1 || !may.IsSet(cpu) {
					t.Errorf("thread %d may run on %v", tid, may)
				}
			}
			if n := runtime.GOMAXPROCS(0); n != 1 {
				t.Errorf("Go makes use of %d processors", n)
			}
			f()
			return broken
		})
	}
	for _, f := range []func(){func() {}, func() { panic("at the disco") }} {
		if err := inside(f); err == nil {
			t.Error("no error")
		}
		after := belong(t)
		if after.processors != before.processors {
			t.Errorf("Go makes use of %d processors, want %d", after.processors, before.processors)
		}
		for tid, may := range after.affinities {
			if want, known := before.affinities[tid]; known && may != want {
				t.Errorf("thread %d may run on %v, want %v", tid, may, want)
			}
		}
	}
}

func TestTheServerIsWhereItBelongs(t *testing.T) {
	for _, placement := range []topology.Placement{topology.Free, topology.SameCore, topology.CrossCore} {
		t.Run(string(placement), func(t *testing.T) {
			s := Spec{Transport: TCP, Engine: NetConn, Placement: placement}.WithDefaults()
			pair := processorsOf(t, s)
			err := placed(s, pair, func() error {
				var usual unix.CPUSet
				if err := unix.SchedGetaffinity(0, &usual); err != nil {
					return err
				}
				e, err := openNetConn(t.Context(), s, pair)
				if err != nil {
					return err
				}
				defer closeNet(t, e)
				var may unix.CPUSet
				if err := unix.SchedGetaffinity(e.(*netEngine).server.command.Process.Pid, &may); err != nil {
					return err
				}
				want := usual
				if pair.Server >= 0 {
					want = unix.CPUSet{}
					want.Set(pair.Server)
				}
				if may != want {
					t.Errorf("the server may run on %v, want %v", may, want)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

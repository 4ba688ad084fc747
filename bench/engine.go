package bench

import (
	"context"
	"runtime"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// open makes the sockets, threads and processes of a benchmark.
func open(ctx context.Context, s Spec, pair topology.Pair) (engine, error) {
	if s.Engine == NetConn {
		return openNetConn(ctx, s, pair)
	}
	return openRaw(ctx, s, pair)
}

// placed runs f where the client of a benchmark has to run: a raw one on a thread
// of its own, as it calls the kernel behind the back of Go's scheduler; one of
// Go's net package with all threads of the process.
func placed(s Spec, pair topology.Pair, f func() error) error {
	if s.Engine == NetConn {
		return confined(pair.Client, f)
	}
	defer enoughProcessors()()
	return topology.On(pair.Client, f)
}

// enoughProcessors gives Go as many processors as raw ends take, until undone.
func enoughProcessors() (undo func()) {
	before := runtime.GOMAXPROCS(0)
	if want := max(rawProcessors, runtime.NumCPU()); before < want {
		runtime.GOMAXPROCS(want)
	}
	return func() { runtime.GOMAXPROCS(before) }
}

package spec

import "github.com/loopcheck/loopcheck/probe/topology"

// FromOneProcessor calls f on a thread that stays on one processor, where that may
// be chosen: packets that wait in the queues of two may overtake each other, which
// is no fault of the stack. Its error is f's.
func FromOneProcessor(f func() error) error {
	if cpus, err := topology.Allowed(); err == nil {
		called := false
		err := topology.On(cpus[0], func() error {
			called = true
			return f()
		})
		if called {
			return err
		}
	}
	return f()
}

package bench

import "context"

// turn is held while a benchmark runs: two at once would measure each other,
// and restore each other's setting of the garbage collector.
var turn = make(chan struct{}, 1)

// hasTurn marks the context of those who are called while the turn is held for
// them.
type hasTurn struct{}

// takeTurn waits until no other benchmark of this process runs. The function that
// it returns gives the turn back.
func takeTurn(ctx context.Context) (done func(), err error) {
	if ctx.Value(hasTurn{}) != nil {
		return func() {}, nil
	}
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

package spec

import (
	"context"
	"errors"
	"testing"
)

func TestPreparationIsGivenUpWhenTheRunEnds(t *testing.T) {
	p := &Preparation[int]{
		begin: func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		},
		end:   func(int) { t.Error("nothing was made, and it was ended") },
		ready: make(chan struct{}),
	}
	p.start()
	p.close()
	if _, err := p.Await(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended by %v", err)
	}
}

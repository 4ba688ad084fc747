package bench

import "context"

// Interleave gives turns to sides until no more rounds are wanted: in the order
// 0, 1, …, n-1 in the first round, backwards in the second, and so on (ABBA), so
// that what drifts with time meets all sides alike. Whoever compares measures by
// it: two settings, two programs, two binaries.
//
// It ends with the first error of a turn, and when the context does.
func Interleave(ctx context.Context, sides int, turn func(ctx context.Context, side, round int) error, more func(rounds int) bool) error {
	for round := 0; more(round); round++ {
		for k := range sides {
			side := k
			if round%2 == 1 {
				side = sides - 1 - k
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := turn(ctx, side, round); err != nil {
				return err
			}
		}
	}
	return nil
}

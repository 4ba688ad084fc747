package bench

import (
	"math/rand/v2"
	"testing"
)

func TestModes(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	normal := func(n int, mean, deviation float64) (values []float64) {
		for range n {
			values = append(values, max(1, mean+deviation*source.NormFloat64()))
		}
		return values
	}
	for _, tc := range []struct {
		name   string
		values []float64
		want   []float64 // within a tenth
	}{
		{"one", normal(10_000, 13_000, 1000), nil},
		{"one with a long tail", append(normal(10_000, 13_000, 1000), normal(500, 60_000, 9000)...), nil},
		{"two", append(normal(6000, 13_000, 1000), normal(4000, 60_000, 5000)...), []float64{13_000, 60_000}},
		{"three", append(append(normal(3000, 5_000, 300), normal(4000, 13_000, 900)...), normal(3000, 60_000, 5000)...), []float64{5000, 13_000, 60_000}},
		{"two that flow into one another", append(normal(6000, 13_000, 1500), normal(4000, 16_000, 1500)...), nil},
		{"few samples", append(normal(40, 13_000, 10), normal(40, 60_000, 10)...), nil},
		{"none", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHistogram()
			for _, v := range tc.values {
				if err := h.RecordValue(int64(v)); err != nil {
					t.Fatal(err)
				}
			}
			got := modes(h)
			if len(got) != len(tc.want) {
				t.Fatalf("modes are %v, want %v", got, tc.want)
			}
			for i := range got {
				if got[i] < 0.9*tc.want[i] || got[i] > 1.1*tc.want[i] {
					t.Errorf("mode %d is %v, want %v", i, got[i], tc.want[i])
				}
			}
		})
	}
}

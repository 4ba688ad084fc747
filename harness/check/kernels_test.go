package check

import "testing"

func TestKernels(t *testing.T) {
	for _, c := range []struct {
		kernels Kernels
		release string
		inside  bool
	}{
		{Kernels{}, "6.18.44", true},
		{Kernels{First: "5.14"}, "5.14.0-rc1", true},
		{Kernels{First: "5.14"}, "5.13.19", false},
		{Kernels{First: "5.14"}, "4.19.0-26-amd64", false},
		{Kernels{First: "5.14"}, "6.1.0", true},
		{Kernels{Last: "5.7"}, "5.7.19", true},
		{Kernels{Last: "5.7"}, "5.10.1", false},
		{Kernels{First: "5.14"}, "unknown", true},
	} {
		if why := c.kernels.Outside(c.release); (why == "") != c.inside {
			t.Errorf("%+v of %s: %q", c.kernels, c.release, why)
		}
	}
}

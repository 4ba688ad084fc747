package tcp

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestPortsAreCountedWithoutTheReserved(t *testing.T) {
	for _, c := range []struct {
		limits, reserved string
		want             int
	}{
		{"32768\t60999\n", "\n", 28232},
		{"40000\t40000\n", "", 1},
		{"40000\t40099\n", "8080,40010-40019,40050\n", 89},
		{"40000\t40099\n", "39990-40009,40090-50000\n", 80},
		{"40000\t40099\n", "1-65535\n", 0},
	} {
		NewWithT(t).Expect(countPorts(c.limits, c.reserved)).To(Equal(c.want), "%q without %q", c.limits, c.reserved)
	}
	for _, c := range [][2]string{{"", ""}, {"a b", ""}, {"1 2", "x"}, {"1 2", "3-x"}} {
		_, err := countPorts(c[0], c[1])
		NewWithT(t).Expect(err).To(HaveOccurred(), "%q", c)
	}
}

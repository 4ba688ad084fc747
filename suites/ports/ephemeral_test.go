package ports

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestRangeHoldsBothItsEnds(t *testing.T) {
	g := NewWithT(t)
	r, err := parseRange("32768\t60999")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.String()).To(Equal("32768 to 60999"))
	for port, held := range map[uint16]bool{0: false, 32767: false, 32768: true, 40001: true, 60999: true, 61000: false} {
		g.Expect(r.holds(port)).To(Equal(held), "%d", port)
	}
	for _, text := range []string{"", "1", "a b", "1 65536"} {
		_, err := parseRange(text)
		g.Expect(err).To(MatchError(ContainSubstring("ip_local_port_range")), "%q", text)
	}
}

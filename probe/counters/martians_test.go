package counters

import (
	"testing"

	. "github.com/onsi/gomega"
)

const rtCache618 = `entries  in_hit   in_slow_tot in_slow_mc in_no_route in_brd   in_martian_dst in_martian_src out_hit  out_slow_tot out_slow_mc gc_total gc_ignored gc_goal_miss gc_dst_overflow in_hlist_search out_hlist_search
0000000e 00000000 000000c7    00000000   00000003    00000000 00000010       00000002       00000000 000951a7     00000003    00000000 00000000   00000000     00000000        00000000        00000000
0000000e 00000000 0000009e    00000000   00000003    00000000 00000001       ffffffff       00000000 0003250b     00000000    00000000 00000000   00000000     00000000        00000000        00000000
`

func TestParseMartians(t *testing.T) {
	g := NewWithT(t)
	m, err := parseMartians(rtCache618)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(m).To(Equal(Martians{Sources: 1, Destinations: 17}))
	g.Expect(m.Sub(Martians{Sources: 0xffffffff, Destinations: 15})).To(Equal(Martians{Sources: 2, Destinations: 2}))
	g.Expect(m.String()).To(Equal("sources 1, destinations 17"))
	for _, bad := range []string{"", "entries in_hit\n1 2\n", "in_martian_src in_martian_dst\n1\n", "in_martian_src in_martian_dst\n1 x\n"} {
		_, err := parseMartians(bad)
		g.Expect(err).To(HaveOccurred(), "%q", bad)
	}
}

package udp

import (
	"bytes"
	"testing"

	. "github.com/onsi/gomega"
)

func TestLengthsHoldBothEnds(t *testing.T) {
	g := NewWithT(t)
	list := lengths(7, datagrams)
	g.Expect(list).To(HaveLen(datagrams))
	g.Expect(list).To(HaveEach(And(BeNumerically(">=", 0), BeNumerically("<=", largest))))
	g.Expect(list).To(ContainElements(0, largest))
	g.Expect(list).To(Equal(lengths(7, datagrams)), "the seed decides")
	g.Expect(list).NotTo(Equal(lengths(8, datagrams)))
}

func TestContentsDiffer(t *testing.T) {
	g := NewWithT(t)
	g.Expect(contents(1, 2, 100)).To(Equal(contents(1, 2, 100)))
	g.Expect(contents(1, 2, 100)).NotTo(Equal(contents(1, 3, 100)))
	g.Expect(contents(1, 2, 100)).NotTo(Equal(contents(2, 2, 100)))
	g.Expect(contents(1, 2, 0)).To(BeEmpty())
}

func TestCompareNamesWhatCame(t *testing.T) {
	run := transfer{seed: 1, lengths: []int{100, 0, 3, 100, 100}}
	payload := func(i int) []byte { return contents(run.seed, i, run.lengths[i]) }
	changed := payload(3)
	changed[99] ^= 1
	for name, c := range map[string]struct {
		expected int
		got      []byte
		want     string
	}{
		"the datagram":     {3, payload(3), ""},
		"an empty one":     {1, payload(1), ""},
		"doubled":          {3, payload(0), "datagram 0 came a second time, in the place of datagram 3"},
		"lost":             {3, payload(4), "datagram 3 was lost or overtaken: datagram 4 came in its place"},
		"changed":          {3, changed, "100 bytes that were not sent so came in the place of datagram 3 of 100 bytes"},
		"cut short":        {3, payload(3)[:99], "99 bytes that were not sent so"},
		"a short lost":     {1, payload(2), "3 bytes, too few to tell whose, came in the place of datagram 1 of 0 bytes"},
		"an empty doubled": {2, nil, "0 bytes, too few to tell whose, came in the place of datagram 2 of 3 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			err := run.compare(c.expected, len(run.lengths), bytes.Clone(c.got))
			if c.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(c.want)))
		})
	}
}

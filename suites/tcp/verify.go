package tcp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
)

// pattern is an endless stream of bytes that no other stream of the run
// resembles, so that bytes which went astray are told from the right ones. The
// same seed and stream give the same bytes again: what arrives is compared
// with a second copy of the generator, never with a copy of the data.
func pattern(seed uint64, stream int) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:8], seed)
	binary.LittleEndian.PutUint64(key[8:16], uint64(stream))
	return rand.NewChaCha8(key)
}

// verifier compares what is written to it with what is wanted and fails at the
// first byte that differs.
type verifier struct {
	want io.Reader
	seen int64
	buf  []byte
}

func newVerifier(want io.Reader) *verifier {
	return &verifier{want: want, buf: make([]byte, flowBuffer)}
}

func (v *verifier) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		want := v.buf[:min(len(p), len(v.buf))]
		if _, err := io.ReadFull(v.want, want); err != nil {
			return written, fmt.Errorf("byte %d: nothing was to follow: %w", v.seen, err)
		}
		got := p[:len(want)]
		if !bytes.Equal(got, want) {
			at := 0
			for got[at] == want[at] {
				at++
			}
			return written + at, fmt.Errorf("byte %d is %#02x and should be %#02x", v.seen+int64(at), got[at], want[at])
		}
		v.seen += int64(len(want))
		written += len(want)
		p = p[len(want):]
	}
	return written, nil
}

// sizes returns n sizes in bytes from 1 to most, both ends among them. They
// are uniform in the logarithm: as many of a few bytes as of many.
func sizes(seed uint64, n, most int) []int {
	r := rand.New(rand.NewPCG(seed, 0))
	list := make([]int, n)
	for i := range list {
		list[i] = int(math.Exp(r.Float64() * math.Log(float64(most))))
	}
	list[0], list[n-1] = 1, most
	return list
}

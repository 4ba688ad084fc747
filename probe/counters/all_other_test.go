//go:build !linux

package counters

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
)

func TestNothingIsToldHere(t *testing.T) {
	g := NewWithT(t)
	for _, p := range ReadAll().parts() {
		g.Expect(p.part.failed()).To(MatchError(errors.ErrUnsupported), p.name)
	}
	_, err := ReadThread()
	g.Expect(err).To(MatchError(errors.ErrUnsupported))
}

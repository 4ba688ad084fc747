package spec

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestSecretsAreHidden(t *testing.T) {
	g := NewWithT(t)
	old := secrets
	t.Cleanup(func() { secrets = old })
	Hide("")
	Hide("p4ss")
	g.Expect(hide(`AUTH p4ss p4ss: "p4ss"`)).To(Equal(`AUTH xxxxx xxxxx: "xxxxx"`))
	g.Expect(hide("nothing")).To(Equal("nothing"))
}

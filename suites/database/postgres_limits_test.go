package database

import (
	"crypto/tls"
	"net"
	"testing"

	. "github.com/onsi/gomega"
)

func TestConnectionIsCutBeneathTLS(t *testing.T) {
	g := NewWithT(t)
	kernels := &net.TCPConn{}
	g.Expect(beneath(kernels)).To(BeIdenticalTo(kernels))
	g.Expect(beneath(&heard{Conn: kernels})).To(BeIdenticalTo(kernels))
	g.Expect(beneath(tls.Client(&heard{Conn: kernels}, &tls.Config{}))).To(BeIdenticalTo(kernels))
}

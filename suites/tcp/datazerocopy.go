package tcp

import (
	"errors"
	"runtime"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var withoutCopy = check.Need{
	Name: "MSG_ZEROCOPY",
	How:  "run it on Linux 4.14 or later",
}

var _ = suite.It("tells that what was sent over loopback with MSG_ZEROCOPY was copied", check.Check{
	ID: "TCP-041", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{withoutCopy},
	Source: "Documentation/networking/msg_zerocopy.rst, notification parsing and loopback; packetdrill zerocopy/basic",
	Asks:   "Sends 16 KiB with MSG_ZEROCOPY, reads them at the peer, and takes the completion from the sender's error queue. It must be about that one send and say that the bytes were copied after all (SO_EE_CODE_ZEROCOPY_COPIED), as they are on loopback.",
	Why:    "A program may use its memory again only after the completion: where none comes, it holds on to all that it ever sent. The code tells it that MSG_ZEROCOPY gains nothing here, so that it goes back to ordinary sends.",
	Causes: []string{
		spec.OtherStack,
		"a limit of locked memory (RLIMIT_MEMLOCK) or of a socket's ancillary memory (net.core.optmem_max) below what a single send takes: it fails with ENOBUFS then",
		"a firewall rule or eBPF program takes segments from loopback and keeps them",
	},
	Remedies: []string{
		"raise the limits: `ulimit -l 8192`, or LimitMEMLOCK= in a systemd unit, and `sysctl -w net.core.optmem_max=131072`",
		spec.OwnStack,
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	err := client.Set(sock.ZeroCopy, 1)
	if errors.Is(err, syscall.ENOPROTOOPT) || errors.Is(err, syscall.EOPNOTSUPP) {
		spec.Skip(withoutCopy, err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
	payload := make([]byte, 16<<10)
	n, err := client.Send(deadline, payload, sock.WithoutCopy)
	Expect(err).NotTo(HaveOccurred(), "a send of %d bytes with MSG_ZEROCOPY", len(payload))
	Expect(n).To(Equal(len(payload)), "bytes sent with MSG_ZEROCOPY")
	for left := n; left > 0; {
		read, err := server.Recv(deadline, make([]byte, left), 0)
		Expect(err).NotTo(HaveOccurred(), "what was sent with MSG_ZEROCOPY, of which %d bytes are missing", left)
		Expect(read).NotTo(BeZero(), "bytes of a read, with %d missing of those sent with MSG_ZEROCOPY", left)
		left -= read
	}
	_, err = client.Poll(deadline, 0)
	Expect(err).NotTo(HaveOccurred(), "the completion of a send with MSG_ZEROCOPY")
	done, err := client.Completion()
	runtime.KeepAlive(payload)
	Expect(err).NotTo(HaveOccurred(), "the completion of a send with MSG_ZEROCOPY")
	Expect(done).To(HaveValue(Equal(sock.Completion{First: 0, Last: 0, Copied: true})), "the completion of the first send with MSG_ZEROCOPY, over loopback")
	spec.Evidence("completion", "of send %d, copied: %t", done.First, done.Copied)
})

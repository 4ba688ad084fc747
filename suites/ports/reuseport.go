package ports

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("shares a port by SO_REUSEPORT between sockets that both have it and one user", check.Check{
	ID: "PORT-010", Grade: check.GradeFail, OS: "linux",
	Source: "socket(7), SO_REUSEPORT",
	Asks:   "Binds a socket to a free port of the loopback address, and a second to the same, over TCP and UDP, IPv4 and IPv6: only where both have SO_REUSEPORT may the second be bound, otherwise it must be refused with EADDRINUSE. Run by root, it also tries a second socket with the option that belongs to another user, which must be refused. Nothing listens.",
	Why:    "Workers of one server (nginx, HAProxy, DNS and QUIC servers) share a port by it. Were one side enough, or any user's socket let in, a stranger's program would be sent a part of the server's connections.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
		"a library put before the program (LD_PRELOAD) sets the option on every socket",
	},
	Remedies: []string{
		spec.OwnStack,
		spec.ListGroupPrograms,
		"see what is put before programs: `cat /etc/ld.so.preload`, `echo $LD_PRELOAD`",
	},
}, func(SpecContext) {
	var all []sharing
	var notAsked error
	for _, family := range families() {
		for _, kind := range kinds {
			for _, s := range []sharing{
				{OneUser: true, First: true, Second: true},
				{OneUser: true, First: true},
				{OneUser: true, Second: true},
				{First: true, Second: true},
			} {
				s.Kind, s.Family = kind, family
				err := s.try()
				if !s.OneUser && errors.Is(err, syscall.EPERM) {
					notAsked = err
					continue
				}
				Expect(err).NotTo(HaveOccurred())
				all = append(all, s)
			}
		}
	}
	if notAsked != nil {
		spec.Evidence("a socket of another user", "not asked: %v", notAsked)
	}
	Expect(wronglyShared(all)).To(BeEmpty(), "sockets that share a port otherwise than SO_REUSEPORT says")
	spec.Evidence("shared", "%d times where both sockets have SO_REUSEPORT and belong to one user, refused %d times where not", sharedTimes(all), len(all)-sharedTimes(all))
})

// sharing is what became of binding a second socket to the port of a first.
type sharing struct {
	Kind   sock.Kind
	Family sock.Family
	// First and Second say which of the two has SO_REUSEPORT.
	First, Second bool
	// OneUser says that both belong to the same user.
	OneUser bool
	Errno   syscall.Errno
}

// wanted is what bind has to say to the second.
func (s sharing) wanted() syscall.Errno {
	if s.First && s.Second && s.OneUser {
		return 0
	}
	return syscall.EADDRINUSE
}

func (s sharing) String() string {
	has := map[bool]string{true: "with", false: "without"}
	whose := "one user"
	if !s.OneUser {
		whose = "another user"
	}
	result := "was bound"
	if s.Errno != 0 {
		result = s.Errno.Error()
	}
	return fmt.Sprintf("%s over %s, the first %s, the second of %s %s SO_REUSEPORT: %s", s.Kind, s.Family, has[s.First], whose, has[s.Second], result)
}

// try binds the two sockets. Its error is that of anything but the second bind.
func (s *sharing) try() error {
	second, err := s.second()
	if err != nil {
		return err
	}
	defer second.Close()
	first, err := sock.New(s.Kind, s.Family)
	if err != nil {
		return err
	}
	defer first.Close()
	for one, has := range map[*sock.Socket]bool{first: s.First, second: s.Second} {
		if has {
			if err := one.Set(sock.ReusePort, 1); err != nil {
				return err
			}
		}
	}
	if err := first.Bind(s.Family.Loopback(0)); err != nil {
		return err
	}
	at, err := first.LocalAddr()
	if err != nil {
		return err
	}
	if err := second.Bind(at); err != nil && !errors.As(err, &s.Errno) {
		return err
	}
	return nil
}

// second opens the one that is bound to the port of the first.
func (s *sharing) second() (*sock.Socket, error) {
	if s.OneUser {
		return sock.New(s.Kind, s.Family)
	}
	// The user nobody, who owns nothing.
	other := 65534
	if os.Geteuid() == other {
		other = 1
	}
	return sock.NewOwned(s.Kind, s.Family, other)
}

// wronglyShared lists the attempts that ended otherwise than they have to.
func wronglyShared(all []sharing) (wrong []string) {
	for _, s := range all {
		if s.Errno != s.wanted() {
			wrong = append(wrong, s.String())
		}
	}
	return wrong
}

func sharedTimes(all []sharing) (n int) {
	for _, s := range all {
		if s.Errno == 0 {
			n++
		}
	}
	return n
}

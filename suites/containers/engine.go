package containers

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/engine"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// InContainer is the name by which the service in a container answers.
const InContainer = "the container"

// engineTimeout bounds a check with a real engine. Its containers start within a
// second each, or some with the vfs storage driver on a slow disk.
const engineTimeout = 2 * time.Minute

var startingEngine = check.Need{
	Name: "an engine that starts containers",
	How:  "mend what the engine says, and try it with any other image first",
}

// Engined is the checks of a real engine, and what they ask with.
type Engined struct {
	engine    *engine.Engine
	abandoned atomic.Bool

	mu      sync.Mutex
	session *engine.Session
	// broken is why the session could not be started, if it could not. Checks use it
	// one after another.
	broken error
}

// DeclareEngine makes checks that ask real containers of an engine: CTR-101 and so
// on. Call it at most once, before the checks are planned, and Close the result when
// they have ended.
func DeclareEngine(e *engine.Engine) *Engined {
	d := &Engined{engine: e}
	for _, c := range engineChecks {
		suite.It(c.entry.Title, c.entry, func(ctx SpecContext) {
			defer d.holdAbandoned()
			c.body(ctx, d.use(ctx))
		})
	}
	return d
}

// EngineChecks are the entries of the checks that DeclareEngine declares.
func EngineChecks() []check.Check {
	var all []check.Check
	for _, c := range engineChecks {
		c.entry.Suite = Name
		all = append(all, c.entry)
	}
	return all
}

// use returns the session, which starts with the first check that asks for it. Where
// it does not start, that check tells why, and the others are skipped.
func (d *Engined) use(ctx context.Context) *engine.Session {
	GinkgoHelper()
	session := d.started()
	if session == nil {
		if d.broken != nil {
			spec.Skip(startingEngine, d.broken.Error())
		}
		session, d.broken = d.start(ctx)
		Expect(d.broken).NotTo(HaveOccurred(), "load the image into %s", d.engine.Name)
		d.mu.Lock()
		d.session = session
		d.mu.Unlock()
	}
	spec.Evidence("engine", "%s %s, %s", d.engine.Name, d.engine.Version, map[bool]string{true: "rootless", false: "with the rights of root"}[d.engine.Rootless])
	return session
}

func (d *Engined) start(ctx context.Context) (*engine.Session, error) {
	binary, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("read loopcheck's own binary for the image: %w", err)
	}
	return d.engine.Start(ctx, binary)
}

// started is the session, nil where there is none yet.
func (d *Engined) started() *engine.Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session
}

// Close removes all that the checks made of the engine. Closing again, or nil, does
// nothing.
func (d *Engined) Close() error {
	if d == nil || d.started() == nil {
		return nil
	}
	if err := d.started().Close(context.Background()); err != nil {
		return fmt.Errorf("remove what was made with %s: %w", d.engine.Name, err)
	}
	return nil
}

// Abandon is Close for a process that is about to exit while a check is under way,
// which loses its containers by it and must not be heard of that.
func (d *Engined) Abandon() {
	if d != nil {
		d.abandoned.Store(true)
	}
	_ = d.Close() // what it leaves ends by itself, and the next session removes it
}

// holdAbandoned keeps a check from its end where the process is about to exit.
func (d *Engined) holdAbandoned() {
	if d.abandoned.Load() {
		select {}
	}
}

// engineCheck is a check before it is declared.
type engineCheck struct {
	entry check.Check
	body  func(SpecContext, *engine.Session)
}

// run starts a container that ends with the spec. Where the engine has not started
// any, the first check tells how it failed, and the others are skipped.
func run(ctx context.Context, s *engine.Session, o engine.Options) *engine.Container {
	GinkgoHelper()
	if s.Broken() != nil {
		spec.Skip(startingEngine, s.Broken().Error())
	}
	c, err := s.Run(ctx, o)
	Expect(err).NotTo(HaveOccurred(), "start a container")
	DeferCleanup(c.Close)
	return c
}

// serve has this process answer at a free port of an address as the host, until the
// spec ends.
func serve(ctx context.Context, addr netip.Addr) engine.Address {
	GinkgoHelper()
	listener, err := engine.Listen(ctx, host, engine.At(netip.AddrPortFrom(addr, 0)))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(listener.Close)
	return listener.At
}

// expect compares an answer with what is to become of the request.
func expect(got engine.Answer, want engine.Outcome, by, what string) {
	GinkgoHelper()
	spec.Evidence(what, "%s", got)
	Expect(got.Outcome).To(Equal(want), "what became of %s: %s", what, got)
	Expect(got.By).To(Equal(by), "who answered %s", what)
}

// others are the host's addresses of IPv4 beside those of lo, without those of
// bridges, which lead to containers.
func others() []netip.Addr {
	GinkgoHelper()
	own, err := iface.Others()
	Expect(err).NotTo(HaveOccurred())
	bridges, err := iface.Bridges()
	Expect(err).NotTo(HaveOccurred())
	of := map[string]bool{}
	for _, name := range bridges {
		of[name] = true
	}
	var found []netip.Addr
	for _, o := range own {
		if o.Addr.Is4() && !of[o.Interface] {
			found = append(found, o.Addr)
		}
	}
	return found
}

// publishedPort is the host's port that leads to one of a container.
func publishedPort(ctx context.Context, c *engine.Container, port string) uint16 {
	GinkgoHelper()
	at, err := c.Published(ctx, port)
	Expect(err).NotTo(HaveOccurred())
	var all []string
	for _, a := range at {
		all = append(all, a.String())
	}
	spec.Evidence("published "+port, "%v", all)
	return at[0].Port()
}

// dial asks from within a container.
func dial(ctx context.Context, c *engine.Container, to engine.Address) engine.Answer {
	GinkgoHelper()
	a, err := c.Dial(ctx, to)
	Expect(err).NotTo(HaveOccurred(), "ask %s from within a container", to)
	return a
}

// flow tells what is sent, so that the search for causes can try the same.
func flow(protocol string, at netip.AddrPort) engine.Address {
	spec.Flow(protocol, at)
	a := engine.At(at)
	a.UDP = protocol == "udp"
	return a
}

func described(from, to any) string { return fmt.Sprintf("a request from %v to %v", from, to) }

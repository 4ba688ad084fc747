// Package database holds the checks of what databases need of loopback:
// PostgreSQL and Redis, over TCP and their unix sockets, and what a round trip of
// theirs takes. The servers are started for the run, or the user's own; of those
// only what harms nothing is asked.
package database

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/redis/go-redis/v9/logging"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/dbserver"
	"github.com/loopcheck/loopcheck/probe/dbtarget"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// What goes wrong is in the errors; the client's log would stand among the progress.
func init() { logging.Disable() }

var suite = spec.NewSuiteOnRequest("database", "Databases: PostgreSQL and Redis over loopback", 1010)

const (
	// patience bounds a question that is answered within milliseconds. The rest is
	// for one lost SYN, which is sent again after a second (RFC 6298).
	patience = 3 * time.Second
	// transfer bounds what moves megabytes, or makes thousands of round trips.
	transfer = 8 * time.Second
	// starting is for a check that is the first to need a server, which may have
	// to be made first.
	starting = 40 * time.Second
	// cleaning bounds the removal of what a check made in a user's server, which
	// goes on when the check is over.
	cleaning = 5 * time.Second
)

// The user's own servers; nil where the run starts its own.
var (
	usersPostgres *dbtarget.Postgres
	usersRedis    *dbtarget.Redis
)

// UsePostgres has the checks ask a user's server, by its DSN. The errors are those
// of dbtarget.ParsePostgres.
func UsePostgres(dsn string) (*dbtarget.Postgres, error) {
	server, err := dbtarget.ParsePostgres(dsn)
	if err != nil {
		return nil, err
	}
	usersPostgres = server
	spec.Hide(server.Config.Password)
	return server, nil
}

// UseRedis has the checks ask a user's server, by its address. The errors are those
// of dbtarget.ParseRedis.
func UseRedis(address string) (*dbtarget.Redis, error) {
	server, err := dbtarget.ParseRedis(address)
	if err != nil {
		return nil, err
	}
	usersRedis = server
	spec.Hide(server.Options.Password)
	return server, nil
}

// The needs of the checks.
var (
	needPostgres = check.Need{
		Name: "PostgreSQL",
		How:  "install it with `apt-get install postgresql` (it need not be running), or name your own with --postgres DSN",
	}
	needRedis = check.Need{
		Name: "Redis",
		How:  "install it with `apt-get install redis-server` (it need not be running), or name your own with --redis ADDRESS",
	}
	// needOwn is for what would harm others who use the server.
	needOwn = check.Need{
		Name: "a server of the run's own",
		How:  "leave out --postgres and --redis: the check restarts the server, or takes all of its connections, or depends on its settings",
	}
	needTLS = check.Need{
		Name: "a server that was built with TLS",
		How:  "install the distribution's package, which was: `apt-get install redis-server`",
	}
	needPrivileges = check.Need{
		Name: "CAP_CHOWN, CAP_SETUID and CAP_SETGID, or user namespaces",
		How: "run loopcheck as an ordinary user that /etc/passwd knows (`docker run --user nobody`), or leave root the capabilities that containers have by default, " +
			"CAP_DAC_OVERRIDE and CAP_KILL among them, or allow namespaces with `sysctl -w user.max_user_namespaces=10000`",
	}
	needFolder = check.Need{
		Name: "a folder for temporary files",
		How:  "set TMPDIR to one with a short path that every user may enter and loopcheck may write, such as /tmp of mode 1777",
	}
	needExecutable = check.Need{
		Name: "a program that the server's user may execute",
		How:  "install it where every user may enter (not below /root), or let others enter its folders with `chmod o+x`",
	}
)

// lacking is what the machine lacks where a server does not start for want of it.
func lacking(err error, program check.Need) (check.Need, bool) {
	if unknown, ok := errors.AsType[*dbserver.UnknownUserError](err); ok {
		return check.Need{
			Name: "a user that /etc/passwd knows",
			How: fmt.Sprintf("run loopcheck as one that has a line there, such as nobody (in Kubernetes `runAsUser: 65534`), or add the line `loopcheck:x:%d:%[1]d::/:/usr/sbin/nologin`, or name your own server with --postgres DSN",
				unknown.UID),
		}, true
	}
	for _, lack := range []struct {
		found bool
		need  check.Need
	}{
		{errors.As(err, new(*dbserver.MissingError)) || errors.As(err, new(*dbserver.TooOldError)), program},
		{errors.As(err, new(*dbserver.PrivilegeError)), needPrivileges},
		{errors.As(err, new(*dbserver.FolderError)), needFolder},
		{errors.As(err, new(*dbserver.UnusableError)), needExecutable},
		{errors.Is(err, errors.ErrUnsupported), check.Linux},
	} {
		if lack.found {
			return lack.need, true
		}
	}
	return check.Need{}, false
}

// place is where the run's own servers are, and cluster the files of PostgreSQL in
// it, which take a second or two.
var (
	place = spec.Prepare(suite,
		func(c check.Check) bool {
			return c.Takes(needRedis) && usersRedis == nil || c.Takes(needPostgres) && usersPostgres == nil
		},
		dbserver.Start,
		func(keeper *dbserver.Keeper) { _ = keeper.Close() })
	cluster = spec.Prepare(suite,
		func(c check.Check) bool { return c.Takes(needPostgres) && usersPostgres == nil },
		func(ctx context.Context) (*dbserver.Keeper, error) {
			keeper, err := place.Await(ctx)
			if err != nil {
				return nil, err
			}
			return keeper, keeper.MakePostgres(ctx)
		},
		func(*dbserver.Keeper) {})
)

// started is a server of the run's own, which is started once.
type started struct {
	server *dbserver.Server
	err    error
	load   spec.Load // since the start began
}

var ownRedis, ownPostgres started

// use returns the server. It skips the spec where the machine lacks what it takes.
func (s *started) use(ctx context.Context, need check.Need, start func(context.Context) (*dbserver.Server, error)) *dbserver.Server {
	GinkgoHelper()
	if s.server == nil && s.err == nil {
		s.load = spec.StartLoad()
		s.server, s.err = start(ctx)
	}
	if lacks, ok := lacking(s.err, need); ok {
		spec.Skip(lacks, s.err.Error())
	}
	s.load.ExcuseTimeout(s.err)
	Expect(s.err).NotTo(HaveOccurred(), "start %s", need.Name)
	DeferCleanup(s.tell, need.Name)
	return s.server
}

// toldLines is how much of a server's log stands beside a failure.
const toldLines = 10

// tell hands the end of the server's log to the report of a check that failed.
func (s *started) tell(name string) {
	if !CurrentSpecReport().Failed() {
		return
	}
	ctx, cancel := after()
	defer cancel()
	if log, err := s.server.Log(ctx); err == nil && log != "" {
		lines := strings.Split(log, "\n")
		spec.Evidence("log of "+name, "%s", strings.Join(lines[max(0, len(lines)-toldLines):], "\n"))
	}
}

func startRedis(ctx context.Context) (*dbserver.Server, error) {
	keeper, err := place.Await(ctx)
	if err != nil {
		return nil, err
	}
	return keeper.Redis(ctx)
}

func startPostgres(ctx context.Context) (*dbserver.Server, error) {
	keeper, err := cluster.Await(ctx)
	if err != nil {
		return nil, err
	}
	return keeper.Postgres(ctx)
}

// unlike is part of the names that a check makes up, so that they are nobody
// else's.
func unlike() string { return strings.ToLower(rand.Text()[:12]) }

// after is a context for what has to be done although the check is over.
func after() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), cleaning)
}

// flow tells the search for causes where the check connects to; nowhere for a unix
// socket.
func flow(to netip.AddrPort) {
	if to.IsValid() {
		spec.Flow("tcp", to)
	}
}

// Both kinds of servers have these in common.
var (
	refusedCauses = []string{
		"a firewall drops or rejects the server's port on lo",
		"the server listens on another address or on its unix socket alone (listen_addresses, bind)",
		"the queue of the listener is full, or was cut down by net.core.somaxconn",
	}
	refusedRemedies = []string{
		spec.LetLoopbackPass,
		"see who listens where, and how full the queue is: `ss -ltnp`",
	}
	alteredCauses = []string{
		"a firewall, a queueing discipline or a proxy on lo drops, reorders or rewrites segments",
		"memory or the folder of the server's files is full",
	}
	alteredRemedies = []string{
		"see what is queued on lo with `tc -s qdisc show dev lo`, and take it away with `tc qdisc del dev lo root`",
		"look at the server's log, and at `df -h` and `free -m`",
	}
)

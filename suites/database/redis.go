package database

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/dbserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// keysKept is how long a user's server keeps what a check left behind that was
// killed before it removed it.
const keysKept = 10 * time.Minute

// cache is the Redis that a check asks.
type cache struct {
	own     *dbserver.Server // nil for the user's
	options redis.Options
	addr    netip.AddrPort // not valid for a unix socket
	prefix  string         // of the names of what the check makes
	load    spec.Load      // since the check began to ask
}

// redisServer returns the user's, or the run's own.
func redisServer(ctx context.Context) cache {
	GinkgoHelper()
	c := cache{prefix: "{loopcheck:" + unlike() + "}:"}
	if usersRedis != nil {
		usersRedis.Choose(spec.Within(ctx, patience))
		c.options, c.addr = *usersRedis.Options, usersRedis.Addr()
	} else {
		c.own = ownRedis.use(ctx, needRedis, startRedis)
		c.addr = c.own.Addr
		c.options = redis.Options{Network: "tcp", Addr: c.addr.String(), Username: dbserver.User, Password: c.own.Password}
	}
	c.load = spec.StartLoad()
	// What goes wrong is to be seen, not tried again.
	c.options.MaxRetries, c.options.DialerRetries = -1, 1
	c.options.DialTimeout, c.options.ReadTimeout, c.options.WriteTimeout = patience, patience, patience
	c.options.ContextTimeoutEnabled = true
	c.options.DisableIdentity = true
	c.options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	flow(c.addr)
	return c
}

// onlyOwnRedis is the run's own: what is asked of it would harm others who use it.
func onlyOwnRedis(ctx context.Context) cache {
	GinkgoHelper()
	if usersRedis != nil {
		spec.Skip(needOwn, "--redis names "+usersRedis.String())
	}
	return redisServer(ctx)
}

// client returns a client that is closed with the spec.
func (c cache) client(changes ...func(*redis.Options)) *redis.Client {
	options := c.options
	for _, change := range changes {
		change(&options)
	}
	client := redis.NewClient(&options)
	DeferCleanup(func() { _ = client.Close() })
	return client
}

// overSocket has a client use the unix socket.
func (c cache) overSocket(o *redis.Options) { o.Network, o.Addr = "unix", c.own.Socket }

// key is one of the check's own, which is removed when the check is over.
func (c cache) key(client *redis.Client, name string) string {
	key := c.prefix + name
	DeferCleanup(func() {
		ctx, cancel := after()
		defer cancel()
		_ = client.Del(ctx, key).Err()
	})
	return key
}

// answered judges the outcome of a command to a user's server or the run's own. It
// skips the spec where a user's server has settings that leave no room for the
// question. Where time ran out for the run's own server on a machine without a
// processor to spare, nothing is known; a user's that is silent is what was asked
// about.
func (c cache) answered(err error, format string, args ...any) {
	GinkgoHelper()
	if c.own == nil {
		for prefix, how := range map[string]string{
			"NOPERM":   "let the user of --redis read and write keys that begin with {loopcheck:",
			"READONLY": "name the primary with --redis: this one takes no writes",
			"MOVED":    "name a server that is no part of a cluster: answers that lead to another server are not followed",
			"ASK":      "name a server that is no part of a cluster: answers that lead to another server are not followed",
			"OOM":      "give the server more memory (maxmemory)",
		} {
			if refusal, ok := errors.AsType[redis.Error](err); ok && strings.HasPrefix(refusal.Error(), prefix) {
				spec.Skip(check.Need{Name: "a Redis that takes what is asked", How: how}, refusal.Error())
			}
		}
	}
	err = seen(err, c.String())
	if c.own != nil {
		c.load.ExcuseTimeout(err)
	}
	Expect(err).NotTo(HaveOccurred(), of(fmt.Sprintf(format, args...), c))
}

// of says of which server something was asked, unless that is said.
func of(what string, server fmt.Stringer) string {
	if name := server.String(); !strings.Contains(what, name) {
		return what + ", of " + name
	}
	return what
}

func (c cache) String() string {
	if c.own == nil {
		return usersRedis.String() + ", named by --redis"
	}
	return "Redis at " + c.addr.String()
}

// silentError says that a server was reached and left a question unanswered.
type silentError struct {
	server string
	err    error
}

func (e *silentError) Error() string {
	return fmt.Sprintf("%s takes the connection and does not answer in time: %v", e.server, e.err)
}
func (e *silentError) Unwrap() error { return e.err }

// seen says of a time that ran out what it means.
func seen(err error, server string) error {
	timeout, ok := errors.AsType[net.Error](err)
	if !(ok && timeout.Timeout()) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok && failed.Op == "dial" {
		return err // it was not reached
	}
	return &silentError{server, err}
}

// overTLS has a client speak TLS with whom a pool trusts.
func (c cache) overTLS(config *tls.Config) func(*redis.Options) {
	return func(o *redis.Options) { o.Addr, o.TLSConfig = c.own.TLS.String(), config }
}

var _ = suite.It("lets a client of Redis in, and answers it", check.Check{
	ID: "DB-001", Grade: check.GradeFail, Needs: []check.Need{needRedis}, Timeout: starting,
	Source: "Redis documentation, HELLO, PING and ECHO; RFC 9293 3.5",
	Asks:   "Connects to Redis over 127.0.0.1 (or where --redis says), gives the user's password, and sends PING and ECHO of 64 bytes. Both must be answered within 3 seconds, as the documentation says. A server that was started for the run is asked over its unix socket as well.",
	Why:    "A cache that cannot be reached on localhost is one that every request misses: sessions are lost, rate limits fail, queues stand still.",
	Causes: refusedCauses, Remedies: refusedRemedies,
}, func(ctx SpecContext) {
	c := redisServer(ctx)
	asks := func(client *redis.Client, where string) {
		bounded := spec.Within(ctx, patience)
		pong, err := client.Ping(bounded).Result()
		c.answered(err, "PING %s", where)
		Expect(pong).To(Equal("PONG"), "the answer to PING %s", where)
		said := strings.Repeat("loopback", 8)
		echo, err := client.Echo(bounded, said).Result()
		c.answered(err, "ECHO %s", where)
		Expect(echo).To(Equal(said), "the answer to ECHO %s", where)
	}
	client := c.client()
	asks(client, "to "+c.String())
	if c.own != nil {
		asks(c.client(c.overSocket), "over the unix socket")
	}
	// Where these fail, DB-024 tries again and says so.
	_ = c.rest(ctx)
	if text, err := client.Info(spec.Within(ctx, patience), "server").Result(); err == nil {
		for line := range strings.Lines(text) {
			if version, is := strings.CutPrefix(line, "redis_version:"); is {
				spec.Evidence("server", "Redis %s", strings.TrimSpace(version))
			}
		}
	}
})

var _ = suite.It("lets nobody into Redis without the password, and a user to no key but his own", check.Check{
	ID: "DB-002", Grade: check.GradeFail, Needs: []check.Need{needRedis}, Timeout: starting,
	Source: "Redis documentation, AUTH, ACL and security",
	Asks:   "Sends PING to Redis without a password, which must be answered with NOAUTH. Of a server that was started for the run, also over its unix socket, gives a wrong password, which must be answered with WRONGPASS, and as a user who may get and set keys of one prefix alone, sets one of another and asks for the configuration: both must be answered with NOPERM, and a key of the prefix be taken.",
	Why:    "Whatever runs on the machine reaches its loopback: a web page by way of the browser, a dependency of a build, another user. The password is all that keeps them from the data.",
	Causes: []string{
		"a proxy in between answers in the server's place, or gives the password itself",
		"the configuration asks for no password (requirepass, ACL user default nopass)",
	},
	Remedies: []string{
		"set one: `redis-cli CONFIG SET requirepass …`, and in redis.conf",
		"see who answers at the port: `ss -ltnp`",
	},
}, func(ctx SpecContext) {
	c := redisServer(ctx)
	if c.own == nil && c.options.Password == "" {
		spec.Skip(check.Need{Name: "a Redis that asks for a password", How: "set one (requirepass), and give it with --redis redis://:PASSWORD@HOST:PORT"}, usersRedis.String()+" was named without one")
	}
	bounded := spec.Within(ctx, patience)
	stranger := func(o *redis.Options) { o.Username, o.Password = "", "" }
	Expect(seen(c.client(stranger).Ping(bounded).Err(), c.String())).To(MatchError(HavePrefix("NOAUTH")), "PING without a password")
	if c.own == nil {
		return
	}
	Expect(c.client(c.overSocket, stranger).Ping(bounded).Err()).To(MatchError(HavePrefix("NOAUTH")), "PING without a password over the unix socket")
	wrong := func(o *redis.Options) { o.Password = "not " + o.Password }
	Expect(c.client(wrong).Ping(bounded).Err()).To(MatchError(ContainSubstring("WRONGPASS")), "a wrong password")

	guest := c.client(func(o *redis.Options) { o.Username = dbserver.Guest })
	c.answered(guest.Set(bounded, dbserver.GuestPrefix+"key", "value", keysKept).Err(), "SET of a key that the user may have")
	Expect(guest.Set(bounded, "other", "value", 0).Err()).To(MatchError(HavePrefix("NOPERM")), "SET of a key that the user may not have")
	Expect(guest.ConfigGet(bounded, "requirepass").Err()).To(MatchError(HavePrefix("NOPERM")), "CONFIG GET by a user who may only get and set")
})

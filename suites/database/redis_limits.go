package database

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/dbserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// tlsCauses are what keeps TLS from working on loopback.
var (
	tlsCauses = []string{
		"something that intercepts TLS (an antivirus, a proxy with its own authority) stands in between",
		"the clock was set back behind the certificate's beginning, or is far ahead",
		"the server was built without TLS",
	}
	tlsRemedies = []string{
		"see whose certificate is shown: `openssl s_client -connect 127.0.0.1:PORT`",
		"set the clock: `timedatectl set-ntp true`",
	}
)

var _ = suite.It("speaks TLS with Redis, and with nobody whose certificate is not trusted", check.Check{
	ID: "DB-006", Grade: check.GradeFail, Needs: []check.Need{needRedis, needOwn}, Timeout: starting,
	Source: "RFC 8446; RFC 5280 6; Redis documentation, TLS",
	Asks:   "Makes a certificate for localhost and 127.0.0.1, starts Redis with it, and sets and gets 1 MiB over TLS. A client that trusts another authority must end the handshake, and one that speaks without TLS must get no answer to PING at that port.",
	Why:    "Between containers and in front of sidecars a local connection is often encrypted as policy asks. A client that takes any certificate gives the password to whoever has the port.",
	Causes: tlsCauses, Remedies: tlsRemedies,
}, func(ctx SpecContext) {
	c := onlyOwnRedis(ctx)
	if !c.own.TLS.IsValid() {
		spec.Skip(needTLS, "Redis does not start with tls-port")
	}
	flow(c.own.TLS)
	bounded := spec.Within(ctx, transfer)
	client := c.client(c.overTLS(&tls.Config{RootCAs: c.own.Authority, ServerName: "localhost"}))
	written, key := randomBytes(1<<20), c.key(client, "tls")
	c.answered(client.Set(bounded, key, written, keysKept).Err(), "SET over TLS")
	read, err := client.Get(bounded, key).Bytes()
	c.answered(err, "GET over TLS")
	Expect(sum(read)).To(Equal(sum(written)), "what was read over TLS")

	unknown := c.client(c.overTLS(&tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}))
	Expect(isUntrusted(unknown.Ping(bounded).Err())).To(BeTrueBecause("a client that does not trust the certificate has to end the handshake"))
	plain := c.client(func(o *redis.Options) { o.Addr = c.own.TLS.String() })
	Expect(plain.Ping(bounded).Err()).To(HaveOccurred(), "PING without TLS at the port for TLS")
})

// isUntrusted says whether a handshake ended for a certificate of an authority that
// is not trusted.
func isUntrusted(err error) bool {
	_, is := errors.AsType[x509.UnknownAuthorityError](err)
	return is
}

// tooManyRedis is how Redis turns a client away (src/networking.c).
const tooManyRedis = "-ERR max number of clients reached"

var _ = suite.It("turns away from Redis a client more than maxclients with its error, and lets one in when another leaves", check.Check{
	ID: "DB-007", Grade: check.GradeFail, Needs: []check.Need{needRedis, needOwn}, Timeout: starting,
	Source: "Redis documentation, maxclients; RFC 9293 3.6",
	Asks:   "Connects to a Redis that was started with maxclients 80 until one is turned away, which must be no later than the 80th, by `ERR max number of clients reached` and the end of the connection. When one of the others has left, the next must be let in. Those that were let in must be answered all the while.",
	Why:    "A pool that is too large, or a leak, shows as this error in a service that is innocent. Where the connection just hangs or is reset in its place, nobody learns what to raise.",
	Causes: []string{
		"a firewall limits connections to the port (ct count, connlimit, limit rate) and drops those beyond",
		"a proxy in front of the server has a lower limit of its own",
	},
	Remedies: []string{
		"see which rules count connections: `nft list ruleset | grep -E 'ct count|limit'`, `iptables-save | grep -E 'connlimit|hashlimit'`",
		"see who is connected: `ss -tnp dst :PORT`, `redis-cli CLIENT LIST`",
	},
}, func(ctx SpecContext) {
	c := onlyOwnRedis(ctx)
	bounded := spec.Within(ctx, transfer)
	inside := c.client()
	c.answered(inside.Ping(bounded).Err(), "PING before the server is full")
	var held []*rawRedis
	DeferCleanup(func() {
		for _, r := range held {
			_ = r.Close()
		}
	})
	turnedAway := false
	for range dbserver.Clients {
		r, answer, err := greet(bounded, c.addr)
		Expect(err).NotTo(HaveOccurred(), "client %d of Redis", len(held)+1)
		if turnedAway = answer == tooManyRedis; turnedAway {
			Expect(r.rest()).To(Succeed(), "after the error the connection ends")
			_ = r.Close()
			break
		}
		held = append(held, r)
		Expect(answer).To(HavePrefix("-NOAUTH"), "the answer to client %d", len(held))
	}
	Expect(turnedAway).To(BeTrueBecause("a client was to be turned away by maxclients %d", dbserver.Clients))
	spec.Measure("clients_let_in", float64(len(held)))
	c.answered(inside.Ping(bounded).Err(), "PING while the server is full")
	_ = held[0].Close()
	held = held[1:]
	Eventually(func() (string, error) {
		r, answer, err := greet(bounded, c.addr)
		if err == nil {
			defer r.Close()
		}
		return answer, err
	}).WithContext(bounded).Should(HavePrefix("-NOAUTH"), "the answer to a client after another has left")
})

// rawRedis is a connection without a client's doings.
type rawRedis struct {
	net.Conn
	lines *bufio.Reader
}

// greet connects, sends PING, and returns the line that comes back. A server that
// turns the client away may have reset the connection before PING arrived: what it
// said is there all the same.
func greet(ctx context.Context, to netip.AddrPort) (*rawRedis, string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, "", err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	r := &rawRedis{conn, bufio.NewReader(conn)}
	_, _ = io.WriteString(conn, "PING\r\n")
	line, err := r.lines.ReadString('\n')
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("await the answer to PING: %w", err), conn.Close())
	}
	return r, strings.TrimSpace(line), nil
}

// rest awaits the end of the connection.
func (r *rawRedis) rest() error {
	_ = r.SetReadDeadline(time.Now().Add(patience))
	more, err := io.ReadAll(r.lines)
	if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		return fmt.Errorf("it stays open: %w", err)
	}
	if len(more) > 0 {
		return fmt.Errorf("more came: %q", more)
	}
	return nil // by FIN or by RST
}

package services

import (
	"bufio"
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// redisInside runs a Redis on every address, in its protected mode, and asks it
// at each of those given.
var redisInside = sandbox.Register("services/redis", func(ctx context.Context, _ *sandbox.Inside, addresses []string) (map[string]Greeting, error) {
	cmd := exec.CommandContext(ctx, "redis-server", "--bind", "0.0.0.0", "--port", "6379", "--save", "", "--dir", "/run")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			return nil, errors.New("the server has ended")
		}
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			break
		}
	}
	redis, _ := Find("redis-server", "tcp", 6379)
	greetings := map[string]Greeting{}
	for _, address := range addresses {
		greeting, err := redis.Service.Ask(ctx, netip.AddrPortFrom(netip.MustParseAddr(address), 6379))
		if err != nil {
			return nil, err
		}
		greetings[address] = greeting
	}
	return greetings, nil
})

func TestRealRedisInProtectedMode(t *testing.T) {
	g := NewWithT(t)
	program(t, "redis-server", "/usr/bin/redis-server")
	s := sandboxtest.Start(t, sandbox.Config{Links: []sandbox.Link{{
		A: sandbox.End{Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.9.9/24")}},
		B: sandbox.End{Name: "far"},
	}}})
	got, err := redisInside.Call(t.Context(), s, "", []string{"127.0.0.1", "10.9.9.9"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got["127.0.0.1"]).To(Equal(Greeting{Open, "PING", "+PONG"}))
	g.Expect(got["10.9.9.9"]).To(And(HaveField("Openness", Protected), HaveField("Seen", HavePrefix("-DENIED Redis is running in protected mode"))))
}

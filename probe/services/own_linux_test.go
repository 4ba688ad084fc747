package services

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

var ownInside = sandbox.Register("services/own", func(_ context.Context, _ *sandbox.Inside, addresses []string) (map[string]bool, error) {
	own := map[string]bool{}
	for _, address := range addresses {
		is, err := isOwn(netip.MustParseAddr(address))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", address, err)
		}
		own[address] = is
	}
	return own, nil
})

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

// networked is a sandbox with an interface eth0 beside lo.
func networked(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.Start(t.Context(), sandbox.Config{Links: []sandbox.Link{{
		A: sandbox.End{Name: "eth0", Addresses: []netip.Prefix{
			netip.MustParsePrefix("10.9.9.9/24"), netip.MustParsePrefix("fe80::9/64"),
		}},
		B: sandbox.End{Name: "far"},
	}}})
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestOwnAddresses(t *testing.T) {
	g := NewWithT(t)
	want := map[string]bool{
		"127.0.0.1": true, "127.255.255.254": true, "10.9.9.9": true,
		"10.9.9.10": false, "10.9.9.255": false, "127.255.255.255": false, "192.0.2.1": false,
		"0.0.0.0": false, "::": false, "224.0.0.1": false, "255.255.255.255": false,
		"fe80::9%eth0": true, "fe80::9%far": false, "fe80::10%eth0": false, "fe80::9%none": false,
	}
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		want["fe80::9%eth0"] = false
	}
	var addresses []string
	for address := range want {
		addresses = append(addresses, address)
	}
	own, err := ownInside.Call(t.Context(), networked(t), "", addresses)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(own).To(Equal(want))
}

func TestRealRedisInProtectedMode(t *testing.T) {
	g := NewWithT(t)
	program(t, "redis-server", "/usr/bin/redis-server")
	got, err := redisInside.Call(t.Context(), networked(t), "", []string{"127.0.0.1", "10.9.9.9"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got["127.0.0.1"]).To(Equal(Greeting{Open, "PING", "+PONG"}))
	g.Expect(got["10.9.9.9"]).To(And(HaveField("Openness", Protected), HaveField("Seen", HavePrefix("-DENIED Redis is running in protected mode"))))
}

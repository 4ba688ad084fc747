package firewall

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

const oracleTable = "loopcheck_oracle"

// oracleRules mark every packet before any other rule sees it.
const oracleRules = `table inet loopcheck_oracle {
	chain out { type filter hook output priority -500; meta nftrace set 1; }
	chain in { type filter hook prerouting priority -500; meta nftrace set 1; }
}
table netdev loopcheck_oracle {
	chain in { type filter hook ingress devices = { lo, eth0 } priority -500; meta nftrace set 1; }
}
`

// monitored sends a packet by a socket for each question and reads from nft
// monitor trace what it met.
var monitored = sandbox.Register("firewall/oracle-monitored", func(ctx context.Context, in *sandbox.Inside, asked []socketQuestion) (ways [][]met, err error) {
	ctx, cancel := context.WithTimeout(ctx, oraclePatience)
	defer cancel()
	load := exec.CommandContext(ctx, "nft", "-f", "-")
	load.Stdin = strings.NewReader(oracleRules)
	if out, err := load.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	defer func() {
		for _, family := range []string{"inet", "netdev"} {
			if out, failed := exec.Command("nft", "delete", "table", family, oracleTable).CombinedOutput(); failed != nil {
				err = errors.Join(err, fmt.Errorf("%w: %s", failed, out))
			}
		}
	}()
	monitor := exec.CommandContext(ctx, "nft", "-a", "-n", "monitor", "trace")
	out, err := monitor.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := monitor.Start(); err != nil {
		return nil, err
	}
	defer func() {
		cancel()
		_ = monitor.Wait() // it was killed
	}()
	m := &monitorReader{lines: make(chan string, 1000)}
	go func() {
		defer close(m.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			m.lines <- scanner.Text()
		}
	}()
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	for _, q := range asked {
		var source uint16
		var closing func()
		err := in.Do(q.Zone, func() (err error) {
			source, closing, err = sendOne(q)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("send to %s: %w", q.To, err)
		}
		way, err := m.await(ctx, source)
		closing()
		if err != nil {
			return nil, err
		}
		ways = append(ways, way)
	}
	return ways, nil
})

// sendOne sends a SYN or a datagram, and says from which port.
func sendOne(q socketQuestion) (source uint16, closing func(), err error) {
	domain, kind := unix.AF_INET, unix.SOCK_STREAM
	var to unix.Sockaddr
	if q.To.Addr().Is6() {
		domain, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(q.To.Port()), Addr: q.To.Addr().As16()}
	} else {
		to = &unix.SockaddrInet4{Port: int(q.To.Port()), Addr: q.To.Addr().As4()}
	}
	if q.Protocol == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	closing = func() { _ = unix.Close(fd) }
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) && !refusal(err) {
		return 0, closing, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, closing, err
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		source = uint16(name.Port)
	case *unix.SockaddrInet6:
		source = uint16(name.Port)
	}
	if kind == unix.SOCK_DGRAM {
		if _, err := unix.Write(fd, []byte("?")); err != nil && !refusal(err) {
			return 0, closing, err
		}
	}
	return source, closing, nil
}

// refusal is what a firewall's answer, or the lack of a program, gives a sender.
func refusal(err error) bool {
	return slices.ContainsFunc([]error{unix.EPERM, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EACCES, unix.EINVAL},
		func(known error) bool { return errors.Is(err, known) })
}

// markerPort is where datagrams go that say how far nft has read.
const markerPort = 1

var (
	monitorLine   = regexp.MustCompile(`^trace id ([0-9a-f]+) (\S+) (\S+) (\S+) (.*?)\s*$`)
	monitorPacket = regexp.MustCompile(`^packet: .* (?:tcp|udp) sport (\d+) `)
	// At ingress nft prints no more than bits, without the first zeros.
	monitorBits   = regexp.MustCompile(`^packet: .* @th,0,(\d+) 0x([0-9a-f]+)`)
	monitorRule   = regexp.MustCompile(` # handle (\d+) \(verdict (\S+).*\)$`)
	monitorPolicy = regexp.MustCompile(`^policy (accept|drop)$`)
)

// monitorReader reads what nft monitor trace prints.
type monitorReader struct{ lines chan string }

// begin waits until nft prints what it sees: before, it is deaf.
func (m *monitorReader) begin(ctx context.Context) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		_, closing, err := sendOne(marker)
		if err != nil {
			return err
		}
		closing()
		select {
		case _, open := <-m.lines:
			if !open {
				return errors.New("nft monitor trace has ended")
			}
			return nil
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var marker = socketQuestion{Protocol: "udp", To: netip.MustParseAddrPort("127.0.0.1:" + strconv.Itoa(markerPort))}

// sourceIn is the source port of a packet that a line shows; 0 where it shows
// none.
func sourceIn(line string) uint16 {
	if p := monitorPacket.FindStringSubmatch(line); p != nil {
		port, _ := strconv.ParseUint(p[1], 10, 16)
		return uint16(port)
	}
	if p := monitorBits.FindStringSubmatch(line); p != nil {
		bits, _ := strconv.Atoi(p[1])
		digits := strings.Repeat("0", max(0, bits/4-len(p[2]))) + p[2]
		port, _ := strconv.ParseUint(digits[:min(4, len(digits))], 16, 16)
		return uint16(port)
	}
	return 0
}

// await reads what the packet from a port met. The markers that follow it go on
// being sent until one is read after the packet was seen.
func (m *monitorReader) await(ctx context.Context, source uint16) (way []met, err error) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	var mark uint16
	ours, base := map[string]bool{}, map[string]string{}
	seen := false
	for {
		var line string
		var open bool
		select {
		case line, open = <-m.lines:
			if !open {
				return nil, errors.New("nft monitor trace has ended")
			}
		case <-again.C:
			if !seen {
				continue
			}
			var closing func()
			if mark, closing, err = sendOne(marker); err != nil {
				return nil, err
			}
			closing()
			continue
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for what the packet from port %d met: %w", source, ctx.Err())
		}
		parts := monitorLine.FindStringSubmatch(line)
		if parts == nil {
			continue
		}
		id, family, table, chain, rest := parts[1], parts[2], parts[3], parts[4], parts[5]
		if from := sourceIn(rest); from != 0 {
			if from == mark && table == oracleTable {
				return way, nil
			}
			if from == source {
				ours[id], seen = true, true
			}
		}
		if !ours[id] || table == oracleTable {
			continue
		}
		if strings.HasPrefix(rest, "packet: ") {
			base[id+family+table] = chain
			continue
		}
		step := met{Family: family, Table: table, Base: base[id+family+table], Chain: chain}
		if r := monitorRule.FindStringSubmatch(rest); r != nil && (r[2] == "accept" || r[2] == "drop") {
			step.Handle, _ = strconv.ParseUint(r[1], 10, 64)
			step.Accept = r[2] == "accept"
			way = append(way, step)
		}
		if p := monitorPolicy.FindStringSubmatch(rest); p != nil {
			step.Chain, step.Accept = step.Base, p[1] == "accept"
			way = append(way, step)
		}
	}
}

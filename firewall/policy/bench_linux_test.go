package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fifty is a ruleset of 50 rules as servers have them, and a policy about all but
// some of them.
func fifty() (rules, policy string) {
	var r, p strings.Builder
	r.WriteString(`table inet f {
	chain i {
		type filter hook input priority 0; policy drop;
		ct state established,related accept
		ct state invalid drop
		iif "lo" accept
		ip protocol icmp icmp type { echo-request, destination-unreachable, time-exceeded } accept
		icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
`)
	p.WriteString("rules: fifty.nft\nexpect:\n")
	for i := range 45 {
		port := 1000 + 97*i
		expect := fmt.Sprintf("protocol: tcp, ports: %d, verdict: accept", port)
		switch i % 5 {
		case 0:
			fmt.Fprintf(&r, "\t\ttcp dport %d accept\n", port)
		case 1:
			fmt.Fprintf(&r, "\t\tudp dport %d-%d accept\n", port, port+9)
			expect = fmt.Sprintf("protocol: udp, ports: %d-%d, verdict: accept", port, port+9)
		case 2:
			fmt.Fprintf(&r, "\t\tip saddr 10.%d.0.0/16 tcp dport %d accept\n", i, port)
			expect += fmt.Sprintf(", source: 10.%d.0.0/16", i)
		case 3:
			fmt.Fprintf(&r, "\t\ttcp dport { %d, %d } reject with tcp reset\n", port, port+3)
			expect = fmt.Sprintf("protocol: tcp, ports: [%d, %d], verdict: reject with tcp-reset", port, port+3)
		case 4:
			fmt.Fprintf(&r, "\t\ttcp dport %d limit rate 10/second burst 5 packets accept\n", port)
		}
		fmt.Fprintf(&p, "  - {from: outside, %s}\n", expect)
	}
	r.WriteString("\t}\n}\n")
	return r.String(), p.String()
}

// Every mutant of a ruleset of 50 rules. The figure to look at is that of 200.
func BenchmarkMutants(b *testing.B) {
	rules, policy := fifty()
	dir := b.TempDir()
	for name, text := range map[string]string{"fifty.nft": rules, "fifty.yaml": policy} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		p, loaded := load(b, filepath.Join(dir, "fifty.yaml"))
		began := time.Now()
		m, err := Mutate(b.Context(), p, loaded, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(m.Mutants)), "mutants")
		b.ReportMetric(time.Since(began).Seconds()*200/float64(len(m.Mutants)), "s/200-mutants")
	}
}

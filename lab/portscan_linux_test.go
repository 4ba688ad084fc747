package lab_test

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// BenchmarkPortScan scans the whole range of a network namespace of its own with
// the built binary and with nmap, in turn in each iteration, and reports the
// median of each in milliseconds, start of the process to its end. It takes
// root: for the namespace, and for raw sockets.
func BenchmarkPortScan(b *testing.B) {
	path := binary(b)
	for _, program := range []string{"unshare", "nft", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			b.Skip(err)
		}
	}
	nmap, err := exec.LookPath("nmap")
	if err != nil {
		nmap = ""
	}
	const dropping = "nft add table inet f && nft add chain inet f i '{ type filter hook input priority 0; policy drop; }' && "
	contestants := []struct{ name, setup, command string }{
		{"raw", "", path + " ports scan --protocol tcp --engine raw"},
		{"nmap-sT", "", nmap + " -n -Pn -sT -p- 127.0.0.1"},
		{"connect", "", path + " ports scan --protocol tcp --engine connect"},
		{"udp", "", path + " ports scan --protocol udp"},
		{"raw-dropped", dropping, path + " ports scan --protocol tcp --engine raw"},
		{"connect-dropped", dropping, path + " ports scan --protocol tcp --engine connect"},
		{"udp-dropped", dropping, path + " ports scan --protocol udp"},
	}
	took := map[string][]time.Duration{}
	for b.Loop() {
		for _, c := range contestants {
			if nmap == "" && c.name == "nmap-sT" {
				continue
			}
			// The shell tells when the set-up is over: it is not part of the scan.
			script := fmt.Sprintf("ip link set dev lo up && %s begin=$(date +%%s%%N) && %s >&2 && echo $(($(date +%%s%%N) - begin))", c.setup, c.command)
			out, err := exec.Command("unshare", "-n", "sh", "-c", script).Output()
			if err != nil {
				b.Fatalf("%s: %v", c.name, err)
			}
			var ns int64
			if _, err := fmt.Sscan(string(out), &ns); err != nil {
				b.Fatalf("%s: %q: %v", c.name, out, err)
			}
			took[c.name] = append(took[c.name], time.Duration(ns))
		}
	}
	for _, c := range contestants {
		if all := took[c.name]; len(all) > 0 {
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1e3, c.name+"-ms")
			b.Logf("%s: %v to %v", c.name, all[0].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
		}
	}
}

package diagnose

import (
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestSettings(t *testing.T) {
	ping := Symptom{Check: "PING-001", Flows: []Flow{{Protocol: "icmp", To: netip.MustParseAddrPort("127.0.0.1:0")}}}
	ping6 := Symptom{Check: "PING-018", Flows: []Flow{{Protocol: "icmp", To: netip.MustParseAddrPort("[::1]:0")}}}
	for name, c := range map[string]struct {
		setting, value string
		symptom        Symptom
		command        string // empty where nothing is to be found
	}{
		"echo ignored":                   {"net.ipv4.icmp_echo_ignore_all", "1", ping, "sysctl -w net.ipv4.icmp_echo_ignore_all=0"},
		"echo ignored, in the other":     {"net.ipv4.icmp_echo_ignore_all", "1", ping6, ""},
		"echo answered":                  {"net.ipv4.icmp_echo_ignore_all", "0", ping, ""},
		"ICMPv6 echo ignored":            {"net.ipv6.icmp.echo_ignore_all", "1", ping6, "sysctl -w net.ipv6.icmp.echo_ignore_all=0"},
		"echo ignored, but TCP failed":   {"net.ipv4.icmp_echo_ignore_all", "1", Symptom{Check: "TCP-001", Flows: []Flow{{Protocol: "tcp", To: netip.MustParseAddrPort("127.0.0.1:0")}}}, ""},
		"wildcards of IPv6 alone":        {"net.ipv6.bindv6only", "1", Symptom{Check: "ADDR-001"}, "sysctl -w net.ipv6.bindv6only=0"},
		"no ::1":                         {"net.ipv6.conf.lo.disable_ipv6", "1", Symptom{Check: "PING-018", Missing: "IPv6 loopback"}, "sysctl -w net.ipv6.conf.lo.disable_ipv6=0"},
		"short queues":                   {"net.core.somaxconn", "1", Symptom{Check: "TCP-005"}, "sysctl -w net.core.somaxconn=4096"},
		"long queues":                    {"net.core.somaxconn", "65535", Symptom{Check: "TCP-005"}, ""},
		"few ports":                      {"net.ipv4.ip_local_port_range", "40000\t40999", Symptom{Check: "TCP-029", Missing: "ephemeral ports"}, "sysctl -w net.ipv4.ip_local_port_range='32768 60999'"},
		"few ports, and one was missing": {"net.ipv4.ip_local_port_range", "40000\t40009", Symptom{Message: "connect: " + syscall.EADDRNOTAVAIL.Error()}, "sysctl -w net.ipv4.ip_local_port_range='32768 60999'"},
		"another range":                  {"net.ipv4.ip_local_port_range", "10000\t65535", Symptom{Missing: "ephemeral ports"}, ""},
		"privileged ports":               {"net.ipv4.ip_unprivileged_port_start", "65000", Symptom{Message: "bind tcp 127.0.0.1:62893: " + syscall.EACCES.Error()}, "sysctl -w net.ipv4.ip_unprivileged_port_start=1024"},
		"small buffers":                  {"net.core.rmem_default", "2304", Symptom{Check: "UDP-010"}, "sysctl -w net.core.rmem_default=212992"},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, machine{settings: map[string]string{c.setting: c.value}})
			id := ""
			if c.command != "" {
				id = "sysctl-" + c.setting
			}
			d := settings(t.Context(), c.symptom)
			expectOne(t, d, id, c.command)
			if id != "" && !strings.Contains(d.Findings[0].Cause.Evidence[0], strings.Join(strings.Fields(c.value), " ")) {
				t.Errorf("evidence %q", d.Findings[0].Cause.Evidence)
			}
		})
	}
}

func TestLinesThatSetASysctl(t *testing.T) {
	text := "# net.ipv4.icmp_echo_ignore_all = 1\nnet.ipv4.icmp_echo_ignore_all = 1\n\n-net/ipv4/icmp_echo_ignore_all=0\nnet.ipv4.icmp_echo_ignore_all_too = 1\nnet.ipv4.icmp_echo_ignore_all\n"
	var lines []int
	for number := range linesSetting(text, "net.ipv4.icmp_echo_ignore_all") {
		lines = append(lines, number)
	}
	if !slices.Equal(lines, []int{2, 4}) {
		t.Errorf("lines %v", lines)
	}
}

func FuzzLinesThatSetASysctl(f *testing.F) {
	f.Add("a.b = 1\n-a/b=2\n=\n", "a.b")
	f.Fuzz(func(t *testing.T, text, name string) {
		last := 0
		for number, line := range linesSetting(text, name) {
			if number <= last || !strings.Contains(line, "=") {
				t.Errorf("line %d after %d: %q", number, last, line)
			}
			last = number
		}
	})
}

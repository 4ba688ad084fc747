package services

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// named is a file or a flag, which a setting has to name to be found.
var named = regexp.MustCompile(`(^|[\s(:$"])[~\w.-]*/[\w./-]+|\w\.(conf|ya?ml|xml|properties|ora|json|py|go|service)\b|(^|\s)--?[A-Za-z]|\b[A-Z]+(_[A-Z]+)+\b|gdbserver - `)

func TestTableIsConsistent(t *testing.T) {
	all := All()
	if len(all) < 40 {
		t.Errorf("%d services, of at least 40", len(all))
	}
	names, processes, ports := map[string]bool{}, map[string]string{}, map[string]string{}
	for _, s := range all {
		if names[s.Name] {
			t.Errorf("%s is there twice", s.Name)
		}
		names[s.Name] = true
		if s.Name == "" || s.Kind == "" || len(s.Ports) == 0 {
			t.Errorf("%+v lacks a name, a kind or ports", s)
		}
		if !strings.HasSuffix(s.Reason, ".") || strings.Count(s.Reason, ". ") != 0 || s.Reason[:1] != strings.ToUpper(s.Reason[:1]) {
			t.Errorf("%s: not one sentence: %q", s.Name, s.Reason)
		}
		for field, setting := range map[string]string{"Bind": s.Bind, "Authenticate": s.Authenticate} {
			if setting != strings.TrimSpace(setting) || strings.HasSuffix(setting, ".") {
				t.Errorf("%s: %s is no setting: %q", s.Name, field, setting)
			}
		}
		if !named.MatchString(s.Bind) {
			t.Errorf("%s: Bind names neither a file nor a flag: %q", s.Name, s.Bind)
		}
		for _, p := range s.Processes {
			if p == "" || len(p) > commBytes {
				t.Errorf("%s: the kernel would cut %q", s.Name, p)
			}
			if other, taken := processes[p]; taken {
				t.Errorf("the process %s is of %s and of %s", p, other, s.Name)
			}
			processes[p] = s.Name
		}
		if len(s.Processes) == 0 && len(s.peers) > 0 {
			t.Errorf("%s: has ports of its peers, and no process that they could be of", s.Name)
		}
		for protocol, numbers := range s.Ports {
			if protocol != "tcp" && protocol != "udp" {
				t.Errorf("%s: protocol %q", s.Name, protocol)
			}
			if len(numbers) == 0 && len(s.Processes) == 0 {
				t.Errorf("%s: nothing to find it by", s.Name)
			}
			for _, n := range numbers {
				key := fmt.Sprintf("%s %d", protocol, n)
				if other, taken := ports[key]; taken || n == 0 {
					t.Errorf("%s is of %s and of %s", key, other, s.Name)
				}
				ports[key] = s.Name
				if slices.Contains(s.peers[protocol], n) {
					t.Errorf("%s: %s is its own and its peers'", s.Name, key)
				}
			}
		}
	}
}

func TestNamedKnowsASettingFromAWord(t *testing.T) {
	for setting, want := range map[string]bool{
		"bind 127.0.0.1 in /etc/redis/redis.conf": true,
		"-l 127.0.0.1 of memcached":               true,
		"--listen=127.0.0.1:2345 of dlv":          true,
		"OLLAMA_HOST=127.0.0.1":                   true,
		"address in the configuration":            false,
		"bind to loopback":                        false,
		"":                                        false,
	} {
		if got := named.MatchString(setting); got != want {
			t.Errorf("%q: %v", setting, got)
		}
	}
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		process, protocol string
		port              uint16
		want, by          string
	}{
		{"redis-server", "tcp", 6379, "Redis", "process"},
		{"redis-server", "tcp", 7001, "Redis", "process"},
		{"redis-server", "tcp", 5432, "Redis", "process"}, // the port does not count
		{"valkey-server", "tcp", 6379, "Redis", "process"},
		{"redis-server", "udp", 11211, "", ""}, // a service that speaks no UDP
		{"memcached", "udp", 11211, "memcached", "process"},
		{"docker-proxy", "tcp", 5432, "PostgreSQL", "port"},
		{"java", "tcp", 9200, "Elasticsearch/OpenSearch", "port"},
		{"", "tcp", 3306, "MySQL/MariaDB", "port"},
		{"", "udp", 3306, "", ""},
		{"", "udp", 161, "SNMP agent", "port"},
		{"nginx", "tcp", 80, "", ""},
		{"jupyter-notebook", "tcp", 9999, "Jupyter", "process"},     // 16 bytes
		{"clickhouse-server", "tcp", 9000, "ClickHouse", "process"}, // not PHP-FPM
		{"prometheus-node-exporter", "tcp", 9100, "Prometheus node exporter", "process"},
		{"mysqld.exe", "tcp", 3307, "MySQL/MariaDB", "process"},
		{"gdbserver", "tcp", 40000, "gdbserver", "process"},
		{"dockerd", "tcp", 2375, "Docker API", "process"},
		{"dockerd", "tcp", 4243, "Docker API", "process"},
		{"dockerd", "udp", 7946, "", ""},
		{"dockerd", "tcp", 7946, "", ""}, // a swarm's gossip
		{"consul", "tcp", 8500, "Consul", "process"},
		{"consul", "tcp", 8301, "", ""},
		{"redis-server", "sctp", 6379, "", ""},
	} {
		m, found := Find(c.process, c.protocol, c.port)
		if found != (c.want != "") || m.Service.Name != c.want || m.By != c.by {
			t.Errorf("%s on %s %d: %q by %q, want %q by %q", c.process, c.protocol, c.port, m.Service.Name, m.By, c.want, c.by)
		}
	}
}

func TestCanAsk(t *testing.T) {
	var can []string
	for _, s := range All() {
		if s.CanAsk() {
			can = append(can, s.Name)
		}
	}
	slices.Sort(can)
	want := []string{
		"Docker API", "Elasticsearch/OpenSearch", "Jupyter", "MongoDB", "MySQL/MariaDB", "PostgreSQL",
		"Redis", "Redis Sentinel", "etcd", "memcached",
	}
	if !slices.Equal(can, want) {
		t.Errorf("%q", can)
	}
}

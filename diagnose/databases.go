package diagnose

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/socktable"
)

const databaseSuite = "database"

// By these flags a user names a server, and the checks name it in what they saw.
// What they saw of a server of the run's own is no matter of the user's settings.
const (
	postgresFlag = "--postgres"
	redisFlag    = "--redis"
)

// usersServer says whether a server was the user's.
func usersServer(s Symptom) bool {
	return strings.Contains(s.Message, postgresFlag) || strings.Contains(s.Message, redisFlag)
}

// databases finds what databases fail for: what the server itself said of it, that
// nobody listens where a client asks, that a queue of the kernel was too short, or
// that the kernel forgets or delays a connection.
func databases(ctx context.Context, s Symptom) Diagnosis {
	if s.Suite != databaseSuite || s.Message == "" {
		return Diagnosis{}
	}
	d := serverSaid(s)
	for _, find := range []func(context.Context, Symptom) Diagnosis{nobodyListens, shortQueue, forgottenConnection, delayedAnswers} {
		more := find(ctx, s)
		d.Findings = append(d.Findings, more.Findings...)
		d.Unseen = append(d.Unseen, more.Unseen...)
	}
	return d
}

// sayings are what servers say of themselves, and what mends it (PostgreSQL
// documentation, appendix A; src/networking.c and src/server.c of Redis).
var sayings = []struct {
	says        string
	id, summary string
	remedy      Remedy
	anyServer   bool // and not the user's alone, whose settings the remedy is about
}{
	{
		"no pg_hba.conf entry", "pg-hba-no-line", "PostgreSQL has no line in pg_hba.conf for this client.",
		Remedy{
			Command: `f=$(su postgres -c 'psql -Atc "SHOW hba_file"') && echo 'host all all 127.0.0.1/32 scram-sha-256' >>"$f" && su postgres -c 'psql -c "SELECT pg_reload_conf()"'`,
			Note:    "for ::1 or a unix socket the line is another: see pg_hba_file_rules",
		},
		false,
	},
	{
		"pg_hba.conf rejects", "pg-hba-reject", "A line `reject` of pg_hba.conf is for this client.",
		Remedy{
			Command: `su postgres -c 'psql -c "SELECT * FROM pg_hba_file_rules WHERE auth_method = '"'reject'"'"'`,
			Note:    "it shows the line, which somebody has meant to be there",
		},
		false,
	},
	{
		"Redis is running in protected mode", "redis-protected-mode", "Redis is in protected mode: without a password it serves 127.0.0.1, ::1 and its unix socket alone.",
		Remedy{Command: `redis-cli CONFIG SET requirepass "$(openssl rand -hex 24)"`, Note: "write it into redis.conf as well, and give it to the clients"},
		false,
	},
	{
		"max number of clients reached", "redis-maxclients", "Redis has as many clients as maxclients allows.",
		Remedy{Command: "redis-cli CONFIG SET maxclients 10000", Note: "`redis-cli CLIENT LIST` shows who they are"},
		false,
	},
	{
		"sorry, too many clients already", "postgres-max-connections", "PostgreSQL has as many clients as max_connections allows.",
		Remedy{Command: `su postgres -c 'psql -c "ALTER SYSTEM SET max_connections = 200"' && systemctl restart postgresql`, Note: "pg_stat_activity shows who they are"},
		false,
	},
	{
		"remaining connection slots are reserved", "postgres-max-connections", "PostgreSQL has as many clients as max_connections allows.",
		Remedy{Command: `su postgres -c 'psql -c "ALTER SYSTEM SET max_connections = 200"' && systemctl restart postgresql`, Note: "pg_stat_activity shows who they are"},
		false,
	},
	{
		"MISCONF", "redis-cannot-write", "Redis cannot write its files, and so takes no writes.",
		Remedy{Command: `df -h "$(redis-cli --raw CONFIG GET dir | tail -n 1)"`, Note: "it shows whether the disk is full; the server's log says what else it may be"},
		false,
	},
	{
		"could not resize shared memory segment", "shared-memory-full", "The server has no room for its shared memory.",
		Remedy{Command: "mount -o remount,size=1G /dev/shm", Note: "in a container: `docker run --shm-size=1g`"},
		true,
	},
	{
		"No space left on device", "disk-full", "The server has no room for its files.",
		Remedy{Command: "df -h && df -i", Note: "they show which file system is full"},
		true,
	},
}

// serverSaid finds what the server's own words explain: the first of the sayings.
func serverSaid(s Symptom) Diagnosis {
	for _, saying := range sayings {
		line, said := lineWith(s.Message, saying.says)
		if !said || expects(s, saying.id) || !saying.anyServer && !usersServer(s) {
			continue
		}
		saying.remedy.Cause = saying.id
		return found(Finding{
			Cause:    Cause{ID: saying.id, Summary: saying.summary, Evidence: []string{fmt.Sprintf("the server said: %q", line)}},
			Remedies: []Remedy{saying.remedy},
		})
	}
	return Diagnosis{}
}

// expects says whether a check fills a server by itself, so that its being full
// explains nothing.
func expects(s Symptom, id string) bool {
	return s.Check == "DB-007" && id == "redis-maxclients" || s.Check == "DB-017" && id == "postgres-max-connections"
}

// lineWith is the line of a text that has some words.
func lineWith(text, words string) (string, bool) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, words) {
			return strings.TrimSpace(line), true
		}
	}
	return "", false
}

// nobodyListens finds ports of users' servers that refuse because nobody listens
// there, and who listens at the same port of other addresses.
func nobodyListens(ctx context.Context, s Symptom) (d Diagnosis) {
	if !s.says(syscall.ECONNREFUSED) || !usersServer(s) {
		return d
	}
	listens := postgresListens
	if strings.Contains(s.Message, redisFlag) {
		listens = redisListens
	}
	for _, flow := range s.Flows {
		if flow.Protocol != "tcp" || flow.To.Port() == 0 {
			continue
		}
		table, err := readSockets(ctx, socktable.Options{Protocols: []socktable.Protocol{socktable.TCP}, Owners: true})
		if err != nil {
			d.Unseen = append(d.Unseen, Unseen{What: "who listens", Why: err.Error()})
			return d
		}
		if f, found := absent(table, flow.To, listens); found {
			d.Findings = append(d.Findings, f)
		}
	}
	return d
}

// listensMore is what has a server start, and what has one that listens elsewhere
// listen at another address too: where it listens, others may need it.
type listensMore struct {
	service string
	command func(has, more netip.AddrPort) string
}

var (
	postgresListens = listensMore{"postgresql", func(_, more netip.AddrPort) string {
		return fmt.Sprintf(`a=$(su postgres -c 'psql -p %d -Atc "SHOW listen_addresses"') && su postgres -c "psql -p %[1]d -c \"ALTER SYSTEM SET listen_addresses = '${a:+$a, }%s'\"" && systemctl restart postgresql`,
			more.Port(), more.Addr())
	}}
	redisListens = listensMore{"redis-server", func(has, more netip.AddrPort) string {
		client := fmt.Sprintf("redis-cli -h %s -p %d", has.Addr().Unmap(), has.Port())
		return fmt.Sprintf(`a=$(%s --raw CONFIG GET bind | tail -n 1) && %[1]s CONFIG SET bind "$a %s"`, client, more.Addr())
	}}
)

func absent(table *socktable.Table, to netip.AddrPort, listens listensMore) (Finding, bool) {
	const id = "database-not-listening"
	cause := Cause{ID: id, Summary: fmt.Sprintf("Nobody listens on %s.", to), Evidence: []string{fmt.Sprintf("no TCP socket takes what is sent to %s", to)}}
	remedy := Remedy{Command: "systemctl restart " + listens.service, Cause: id, Note: "its log says why it does not run"}
	for i := range table.Sockets {
		socket := &table.Sockets[i]
		if !socket.Listens() || socket.Local.Port() != to.Port() {
			continue
		}
		if socket.Takes(to.Addr()) {
			return Finding{}, false
		}
		cause.Summary = fmt.Sprintf("Nobody listens on %s: the server has the port on another address.", to)
		cause.Evidence = append(cause.Evidence, socket.String())
		remedy.Command = listens.command(socket.Local, to)
		remedy.Note = "it adds the address to those where the server listens; or name one of those in its place"
	}
	return Finding{Cause: cause, Remedies: []Remedy{remedy}}, true
}

// shortQueue finds that connections met a full queue of a listener (listen(2);
// net.core.somaxconn in Documentation/admin-guide/sysctl/net.rst).
func shortQueue(_ context.Context, s Symptom) Diagnosis {
	overflows, _ := s.Moved.Get("TcpExt", "ListenOverflows")
	most, err := readCountSetting("net.core.somaxconn")
	const usual = 4096 // since Linux 5.4
	if overflows <= 0 || err != nil || most >= usual {
		return Diagnosis{}
	}
	const id = "somaxconn-low"
	return found(Finding{
		Cause: Cause{
			ID: id, Summary: "Connections found the queue of a listener full, which net.core.somaxconn keeps short.",
			Evidence: []string{fmt.Sprintf("net.core.somaxconn is %d", most), fmt.Sprintf("TcpExt ListenOverflows moved by %d", overflows)},
		},
		Remedies: []Remedy{{Command: fmt.Sprintf("sysctl -w net.core.somaxconn=%d", usual), Cause: id, Note: "a server has to be restarted to have a longer queue"}},
	})
}

// idleTime is how long connections were idle that did not survive it.
var idleTime = regexp.MustCompile(`was idle for (\d+)s`)

// forgottenConnection finds that the tracking of connections forgot one that was
// idle (Documentation/networking/nf_conntrack-sysctl.rst).
func forgottenConnection(_ context.Context, s Symptom) Diagnosis {
	match := idleTime.FindStringSubmatch(s.Message)
	if match == nil {
		return Diagnosis{}
	}
	idle, _ := strconv.Atoi(match[1])
	const setting = "net.netfilter.nf_conntrack_tcp_timeout_established"
	timeout, err := readCountSetting(setting)
	if err != nil || timeout > idle {
		return Diagnosis{}
	}
	const id, usual = "conntrack-forgets", 432_000
	evidence := []string{fmt.Sprintf("%s is %d, and the connection was idle for %d s", setting, timeout, idle)}
	if loose, err := readSetting("net.netfilter.nf_conntrack_tcp_loose"); err == nil {
		evidence = append(evidence, "net.netfilter.nf_conntrack_tcp_loose is "+loose)
	}
	return found(Finding{
		Cause:    Cause{ID: id, Summary: "Tracked connections are forgotten after seconds, and what comes later belongs to none.", Evidence: evidence},
		Remedies: []Remedy{{Command: fmt.Sprintf("sysctl -w %s=%d", setting, usual), Cause: id}},
	})
}

// manyDelayed is more acknowledgements than are delayed beside round trips that
// wait for none.
const manyDelayed = 50

// delayedAnswers finds that round trips waited for delayed acknowledgements, as they
// do where TCP_NODELAY has no effect (RFC 1122 4.2.3.2; tcp(7)).
func delayedAnswers(_ context.Context, s Symptom) Diagnosis {
	delayed, _ := s.Moved.Get("TcpExt", "DelayedACKs")
	if !s.isSlowOrLost() || delayed < manyDelayed {
		return Diagnosis{}
	}
	return found(Finding{Cause: Cause{
		ID:       "delayed-acknowledgements",
		Summary:  "Round trips waited for delayed acknowledgements: Nagle's algorithm holds the second part of a request back.",
		Evidence: []string{fmt.Sprintf("TcpExt DelayedACKs moved by %d, of 40 ms each or more", delayed)},
	}})
}

package dbserver

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// postgresPlaces are where packages put PostgreSQL's programs, of which the path
// has only some.
var postgresPlaces = []string{"/usr/lib/postgresql/*/bin", "/usr/lib/postgresql*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/usr/local/pgsql/bin"}

// postgresPrograms are the initdb that are installed, the newest first, and those of
// PATH after the packages'. The error is a *MissingError where there are none.
func postgresPrograms() ([]string, error) {
	var found []string
	for _, place := range postgresPlaces {
		// The patterns are well formed.
		matches, _ := filepath.Glob(place)
		for _, folder := range matches {
			program := filepath.Join(folder, "initdb")
			if _, err := os.Stat(program); err == nil {
				found = append(found, program)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(version(filepath.Dir(b)), version(filepath.Dir(a))) })
	found = append(found, onPath("initdb")...)
	if len(found) == 0 {
		return nil, &MissingError{Program: "initdb", Package: "postgresql", Looked: strings.Join(postgresPlaces, ", ") + " and PATH"}
	}
	return found, nil
}

// version is the first number in the last name of a path that has one; 0 where none
// has.
func version(path string) int {
	for _, name := range slices.Backward(strings.Split(path, "/")) {
		digits := strings.FieldsFunc(name, func(r rune) bool { return r < '0' || r > '9' })
		if len(digits) == 0 {
			continue
		}
		if number, err := strconv.Atoi(digits[0]); err == nil {
			return number
		}
	}
	return 0
}

// postgresName is the name of its order.
const postgresName = "postgres"

// postgresData is the folder of the cluster, in the keeper's.
const postgresData = "postgres"

// oldestPostgres is the first version whose initdb has --wal-segsize.
const oldestPostgres = 11

// MakePostgres makes the files that PostgreSQL starts with, which takes a second or
// two of a processor. The error is a *MissingError where it is not installed, an
// *UnusableError, a *TooOldError, an *UnknownUserError, and a *StartError where it
// fails.
func (k *Keeper) MakePostgres(ctx context.Context) error {
	programs, err := postgresPrograms()
	if err != nil {
		return err
	}
	initdb, err := k.usable(ctx, programs, oldestPostgres)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	args := []string{
		initdb, "-D", filepath.Join(k.folder, postgresData), "-U", User,
		"-A", "scram-sha-256", "--pwfile=" + filepath.Join(k.folder, "password"),
		"--no-sync", "--no-locale", "-E", "UTF8", "--wal-segsize=1",
	}
	if output, err := run.Call(ctx, k.box, "", args); err != nil {
		if uid, is := unknownUser(output); is {
			return &UnknownUserError{UID: uid}
		}
		return k.startError(args[0], err, output)
	}
	k.postgres = filepath.Dir(initdb)
	return nil
}

// nameless is how initdb says that its user has no name (src/common/username.c). The
// C library asks more than /etc/passwd, and so it is the one to ask.
var nameless = regexp.MustCompile(`could not look up effective user ID (\d+)`)

// unknownUser is the user ID that initdb knows no name of, if it says so.
func unknownUser(output string) (uid int, is bool) {
	match := nameless.FindStringSubmatch(output)
	if match == nil {
		return 0, false
	}
	uid, err := strconv.Atoi(match[1])
	return uid, err == nil
}

// Postgres starts PostgreSQL, whose files it makes unless they are there. The
// errors are those of MakePostgres.
func (k *Keeper) Postgres(ctx context.Context) (*Server, error) {
	if k.postgres == "" {
		if err := k.MakePostgres(ctx); err != nil {
			return nil, err
		}
	}
	ports, o, err := k.start(ctx, 1, func(ports []uint16) (order, error) {
		return k.postgresOrder(ports[0]), nil
	})
	if err != nil {
		return nil, err
	}
	s := &Server{
		Addr: loopback(ports[0]), Password: k.password, Authority: k.certificate.pool,
		Socket:  filepath.Join(k.seen, fmt.Sprintf(".s.PGSQL.%d", ports[0])),
		running: running{k, o},
	}
	return s, k.forgetMemory(ctx)
}

func (k *Keeper) postgresOrder(port uint16) order {
	args := []string{filepath.Join(k.postgres, "postgres"), "-D", filepath.Join(k.folder, postgresData)}
	for _, setting := range []string{
		"port=" + strconv.Itoa(int(port)), "listen_addresses=127.0.0.1", "unix_socket_directories=" + k.folder,
		"max_connections=" + strconv.Itoa(Clients), "shared_buffers=16MB",
		"ssl=on", "ssl_cert_file=" + filepath.Join(k.folder, "cert.pem"), "ssl_key_file=" + filepath.Join(k.folder, "key.pem"),
		// What was committed is with the kernel, and outlives the server.
		"fsync=off", "full_page_writes=off", "synchronous_commit=on",
		"wal_level=minimal", "max_wal_senders=0", "autovacuum=off", "jit=off",
		// Packages' samples of the configuration have a collector take the log away.
		"logging_collector=off", "log_destination=stderr",
		"huge_pages=off",
		// Files of the cluster, in the place of those in /dev/shm.
		"dynamic_shared_memory_type=mmap",
		"tcp_keepalives_idle=1", "tcp_keepalives_interval=1", "tcp_keepalives_count=5",
	} {
		args = append(args, "-c", setting)
	}
	return order{Name: postgresName, Args: args, Ready: "database system is ready to accept connections"}
}

// forgetMemory has the kernel remove PostgreSQL's segment of System V shared
// memory when the last process of it has ended, where no namespace does.
func (k *Keeper) forgetMemory(ctx context.Context) error {
	if !k.box.Facts().Plain {
		return nil
	}
	segment, has, err := k.segment()
	if err != nil || !has {
		return err
	}
	if _, err := forget.Call(ctx, k.box, "", segment); err != nil {
		return fmt.Errorf("have PostgreSQL's shared memory removed with it: %w", err)
	}
	return nil
}

// segment is the number of PostgreSQL's segment of System V shared memory, if it
// has one. It is in the line of postmaster.pid that begins with the segment's key
// (src/include/utils/pidfile.h).
func (k *Keeper) segment() (number int, has bool, err error) {
	text, err := os.ReadFile(filepath.Join(k.folder, postgresData, "postmaster.pid"))
	if err != nil {
		return 0, false, err
	}
	const segmentLine = 6
	lines := strings.Split(string(text), "\n")
	if len(lines) <= segmentLine {
		return 0, false, nil
	}
	fields := strings.Fields(lines[segmentLine])
	if len(fields) != 2 {
		return 0, false, nil
	}
	if number, err = strconv.Atoi(fields[1]); err != nil {
		return 0, false, fmt.Errorf("read the number of PostgreSQL's shared memory: %w", err)
	}
	return number, true, nil
}

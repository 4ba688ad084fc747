package dbserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// redisPrograms are the servers that are installed: Redis, and Valkey, which speaks
// the same. The error is a *MissingError where there is none.
func redisPrograms() ([]string, error) {
	var found []string
	for _, name := range []string{"redis-server", "valkey-server"} {
		for _, path := range onPath(name, "/usr/bin", "/usr/local/bin") {
			if !slices.Contains(found, path) {
				found = append(found, path)
			}
		}
	}
	if len(found) == 0 {
		return nil, &MissingError{Program: "redis-server", Package: "redis-server", Looked: "PATH, /usr/bin and /usr/local/bin"}
	}
	return found, nil
}

// onPath are the programs of a name in the folders of PATH, and in others.
func onPath(name string, others ...string) (found []string) {
	for _, folder := range append(filepath.SplitList(os.Getenv("PATH")), others...) {
		if !filepath.IsAbs(folder) {
			continue // servers run in another folder
		}
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			found = append(found, path)
		}
	}
	return found
}

// oldestRedis is the first version that has users (ACL).
const oldestRedis = 6

// Redis starts Redis, over TLS as well where it was built for that. The error is a
// *MissingError where it is not installed, an *UnusableError, a *TooOldError, and a
// *StartError where it fails.
func (k *Keeper) Redis(ctx context.Context) (*Server, error) {
	programs, err := redisPrograms()
	if err != nil {
		return nil, err
	}
	program, err := k.usable(ctx, programs, oldestRedis)
	if err != nil {
		return nil, err
	}
	s, err := k.redis(ctx, program, true)
	if failed, ok := errors.AsType[*StartError](err); ok && strings.Contains(strings.ToLower(failed.Output), "tls") {
		return k.redis(ctx, program, false)
	}
	return s, err
}

const redisSocket = "redis"

func (k *Keeper) redis(ctx context.Context, program string, overTLS bool) (*Server, error) {
	ports, o, err := k.start(ctx, 2, func(ports []uint16) (order, error) {
		settings := k.redisSettings(ports[0])
		if overTLS {
			settings = append(settings, k.redisTLS(ports[1])...)
		}
		// In a file, since all users see the arguments of a program.
		text := []byte(strings.Join(settings, "\n") + "\n")
		_, err := write.Call(ctx, k.box, "", []file{{"redis.conf", text}})
		return order{Name: "redis", Args: []string{program, filepath.Join(k.folder, "redis.conf")}, Ready: "eady to accept connections"}, err
	})
	if err != nil {
		return nil, err
	}
	s := &Server{
		Addr: loopback(ports[0]), Socket: filepath.Join(k.seen, redisSocket),
		Password: k.password, Authority: k.certificate.pool, running: running{k, o},
	}
	if overTLS {
		s.TLS = loopback(ports[1])
	}
	return s, nil
}

// redisSettings are lines of redis.conf. What is appended to the file is with the
// kernel before a command is answered, and so outlives the server.
func (k *Keeper) redisSettings(port uint16) []string {
	return []string{
		"bind 127.0.0.1", fmt.Sprintf("port %d", port),
		"unixsocket " + filepath.Join(k.folder, redisSocket), "unixsocketperm 777",
		"dir " + k.folder, `save ""`, "appendonly yes", "appendfsync no", "auto-aof-rewrite-percentage 0",
		fmt.Sprintf("maxclients %d", Clients), "tcp-keepalive 1", "timeout 0", "daemonize no",
		"requirepass " + k.password,
		fmt.Sprintf("user %s on >%s ~* &* +@all", User, k.password),
		fmt.Sprintf("user %s on >%s ~%s* -@all +get +set", Guest, k.password, GuestPrefix),
	}
}

func (k *Keeper) redisTLS(port uint16) []string {
	return []string{
		fmt.Sprintf("tls-port %d", port), "tls-auth-clients no",
		"tls-cert-file " + filepath.Join(k.folder, "cert.pem"),
		"tls-key-file " + filepath.Join(k.folder, "key.pem"),
		"tls-ca-cert-file " + filepath.Join(k.folder, "cert.pem"),
	}
}

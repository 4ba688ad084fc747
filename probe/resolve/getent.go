package resolve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
)

var (
	// ErrNoGetent says that there is no getent(1), or one that does not know
	// the database.
	ErrNoGetent = errors.New("no getent that knows the database")
	// ErrNotFound says that the C library found nothing.
	ErrNotFound = errors.New("not found")
)

// Exit statuses of getent(1).
const (
	unknownDatabase = 1
	keyNotFound     = 2
)

// Addresses asks the C library for the addresses of a name, as getaddrinfo(3)
// gives them (getent ahosts), each once and in its order. Nothing of the
// caller's environment has a say in it (RES_OPTIONS, LOCALDOMAIN, HOSTALIASES).
func Addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	path, err := exec.LookPath("getent")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoGetent, err)
	}
	command := exec.CommandContext(ctx, path, "ahosts", name)
	command.Env = []string{"LC_ALL=C"}
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if exited, ok := errors.AsType[*exec.ExitError](err); ok {
		switch exited.ExitCode() {
		case unknownDatabase:
			return nil, fmt.Errorf("%w: %s", ErrNoGetent, strings.TrimSpace(complaint.String()))
		case keyNotFound:
			return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("getent ahosts %s: %w", name, ctx.Err())
	}
	if err != nil {
		return nil, fmt.Errorf("getent ahosts %s: %w: %s", name, err, strings.TrimSpace(complaint.String()))
	}
	return parseAddresses(string(out)), nil
}

// parseAddresses reads the first field of each line.
func parseAddresses(text string) []netip.Addr {
	var addrs []netip.Addr
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err == nil && !slices.Contains(addrs, addr.Unmap()) {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs
}

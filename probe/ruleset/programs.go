package ruleset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages are what the programs come in.
var packages = map[string]string{
	"nft":                      "nftables",
	"iptables-restore":         "iptables",
	"iptables-save":            "iptables",
	"ip6tables-restore":        "iptables",
	"iptables-nft-restore":     "iptables",
	"ip6tables-nft-restore":    "iptables",
	"iptables-legacy-save":     "iptables",
	"ip6tables-legacy-save":    "iptables",
	"iptables-legacy-restore":  "iptables",
	"ip6tables-legacy-restore": "iptables",
}

// lookPath finds a program, also where an ordinary user's path does not lead.
func lookPath(program, purpose string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, folder := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(folder, program)); err == nil {
			return path, nil
		}
	}
	return "", &MissingProgramError{Program: program, Package: packages[program], Purpose: purpose}
}

// programError says that a program failed, and what it said.
type programError struct {
	program string
	said    string
	err     error
}

func (e *programError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("%s: %v", e.program, e.err)
	}
	return fmt.Sprintf("%s: %v: %s", e.program, e.err, e.said)
}

func (e *programError) Unwrap() error { return e.err }

// run runs a program in the calling thread's network namespace. Its messages
// are in English, whatever the user's language, because they are read.
func run(ctx context.Context, purpose, dir, stdin string, program string, args ...string) (string, error) {
	path, err := lookPath(program, purpose)
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, path, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "LC_ALL=C")
	command.Stdin = strings.NewReader(stdin)
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return out.String(), &programError{program: program, said: strings.TrimSpace(said.String()), err: err}
	}
	return out.String(), nil
}

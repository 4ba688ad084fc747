package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/freeport"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// findProgram is the path of a command as a shell would find it.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("--hold: %w: write a command that exists", err)
	}
	return path, nil
}

// holdName is the name by which this program calls itself to place descriptors.
const holdName = "loopcheck-hold"

// handOver executes the command in this program's place, with the sockets. It
// returns only where that fails.
//
// The descriptors where the sockets belong may be the Go runtime's own, which it
// cannot do without. So this program is executed anew first, with the sockets
// where the runtime puts nothing, and places them before the runtime needs any.
func handOver(path string, command []string, ports []*freeport.Port, kinds []sock.Kind) error {
	var names, descriptors []string
	least := firstListenFD + len(ports)*len(kinds)
	for _, p := range ports {
		for i, s := range p.Kept {
			fd, err := s.Bequeath(least)
			if err != nil {
				return err
			}
			descriptors = append(descriptors, strconv.Itoa(fd))
			names = append(names, kinds[i].String())
		}
	}
	environment := append(withoutListen(os.Environ()),
		"LISTEN_FDS="+strconv.Itoa(len(names)),
		"LISTEN_PID="+strconv.Itoa(os.Getpid()),
		"LISTEN_FDNAMES="+strings.Join(names, ":"),
		"PORT="+strconv.Itoa(int(ports[0].Number)),
	)
	arguments := append([]string{holdName, strings.Join(descriptors, ","), path}, command...)
	return fmt.Errorf("execute %s: %w", path, syscall.Exec("/proc/self/exe", arguments, environment))
}

// holdMain places the descriptors and executes the command, where this program
// was executed by handOver. It comes before anything that opens a descriptor.
func holdMain() {
	if os.Args[0] != holdName || len(os.Args) < 4 {
		return
	}
	for i, text := range strings.Split(os.Args[1], ",") {
		fd, err := strconv.Atoi(text)
		if err == nil {
			err = unix.Dup3(fd, firstListenFD+i, 0)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "loopcheck: pass on descriptor %s: %v\n", text, err)
			os.Exit(exitHarness)
		}
		_ = unix.Close(fd)
	}
	err := syscall.Exec(os.Args[2], os.Args[3:], os.Environ())
	fmt.Fprintf(os.Stderr, "loopcheck: --hold: execute %s: %v: write a command that can be executed\n", os.Args[2], err)
	os.Exit(exitUsage)
}

// withoutListen leaves out what the command is told anew.
func withoutListen(environment []string) []string {
	var kept []string
	for _, e := range environment {
		switch name, _, _ := strings.Cut(e, "="); name {
		case "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "PORT":
		default:
			kept = append(kept, e)
		}
	}
	return kept
}

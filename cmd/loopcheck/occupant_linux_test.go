package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// backlogOfOccupant is a limit that no kernel has by itself.
const backlogOfOccupant = 17

// occupant is a program that listens while another runs, and ends with its exit
// code: occupant NETWORK=ADDRESS:PORT[%DEVICE]... -- COMMAND ARGUMENT...
// NETWORK is one of package net's.
func occupant() {
	code, err := occupy(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "occupant:", err)
		code = 100
	}
	os.Exit(code)
}

func occupy(args []string) (code int, err error) {
	end := slices.Index(args, "--")
	if end < 0 || end+1 == len(args) {
		return 0, errors.New("no command")
	}
	for _, arg := range args[:end] {
		network, address, _ := strings.Cut(arg, "=")
		address, device, _ := strings.Cut(address, "%")
		config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
			if device == "" {
				return nil
			}
			controlErr := raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), device) })
			return errors.Join(controlErr, err)
		}}
		if strings.HasPrefix(network, "udp") {
			socket, err := config.ListenPacket(context.Background(), network, address)
			if err != nil {
				return 0, err
			}
			defer socket.Close()
			continue
		}
		listener, err := config.Listen(context.Background(), network, address)
		if err != nil {
			return 0, err
		}
		defer listener.Close()
		if err := limitBacklog(listener); err != nil {
			return 0, err
		}
	}
	cmd := exec.Command(args[end+1], args[end+2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// limitBacklog listens once more, which changes the limit alone (listen(2)).
func limitBacklog(listener net.Listener) error {
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	var listenErr error
	err = raw.Control(func(fd uintptr) { listenErr = unix.Listen(int(fd), backlogOfOccupant) })
	return errors.Join(err, listenErr)
}

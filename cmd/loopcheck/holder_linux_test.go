package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// holder is a program that is given sockets as sd_listen_fds(3) says, and tells
// what it was given.
func holder() {
	code := flag.Int("exit", 0, "end with this code")
	flag.Parse()
	if err := tellSockets(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(100)
	}
	os.Exit(*code)
}

func tellSockets() error {
	count, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil {
		return err
	}
	sockets, err := openSockets()
	if err != nil {
		return err
	}
	fmt.Println("descriptors", strings.Join(sockets, " "))
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		fmt.Println("LISTEN_PID is mine")
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range count {
		text, err := tellSocket(3+i, names[i])
		if err != nil {
			return fmt.Errorf("descriptor %d: %w", 3+i, err)
		}
		fmt.Println(3+i, text)
	}
	return nil
}

// openSockets lists the descriptors that are sockets; the test's surroundings
// may have left others.
func openSockets() ([]string, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	var sockets []int
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err == nil && strings.HasPrefix(target, "socket:") {
			fd, _ := strconv.Atoi(e.Name())
			sockets = append(sockets, fd)
		}
	}
	slices.Sort(sockets)
	texts := make([]string, len(sockets))
	for i, fd := range sockets {
		texts[i] = strconv.Itoa(fd)
	}
	return texts, nil
}

func tellSocket(fd int, name string) (string, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return "", err
	}
	local, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		return "", fmt.Errorf("its address is %T", sa)
	}
	port := "OTHER"
	if strconv.Itoa(local.Port) == os.Getenv("PORT") {
		port = "PORT"
	}
	text := fmt.Sprintf("%s %s:%s", name, net.IP(local.Addr[:]), port)
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return text, err
	}
	text += " listening"
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return "", err
	}
	if flags&unix.O_NONBLOCK == 0 {
		text += ", blocking"
	}
	// Whoever connects is answered by the kernel before anybody accepts.
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", local.Port))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	accepted, _, err := unix.Accept(fd)
	if err != nil {
		return "", err
	}
	return text + ", answers", unix.Close(accepted)
}

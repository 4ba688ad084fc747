// Package localnet answers which of this machine's interfaces let packets for
// 127.0.0.0/8 pass (route_localnet, Documentation/networking/ip-sysctl.rst).
package localnet

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/iface"
)

// Setting is route_localnet of an interface that has it on.
type Setting struct {
	// Interface is its name, or "all": what is on there is on for every interface.
	Interface string
	Value     string
}

// Path is the setting as sysctl(8) takes it even where the interface's name has
// dots.
func (s Setting) Path() string { return "net/ipv4/conf/" + s.Interface + "/route_localnet" }

func (s Setting) String() string {
	return fmt.Sprintf("net.ipv4.conf.%s.route_localnet is %s", s.Interface, s.Value)
}

// Open are the settings that are on for interfaces that are neither lo nor a
// bridge, in the calling thread's network namespace: they open what listens on
// 127.0.0.1 to a network. The error wraps fs.ErrNotExist where the kernel has no
// such setting, as on every system but Linux.
func Open() (open []Setting, err error) {
	all := Setting{Interface: "all"}
	if all.Value, err = read(all); err != nil {
		return nil, err
	}
	if all.Value != "0" {
		open = append(open, all)
	}
	bridges, err := iface.Bridges()
	if err != nil {
		return nil, err
	}
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	for _, link := range links {
		if link.Flags&net.FlagLoopback != 0 || slices.Contains(bridges, link.Name) {
			continue
		}
		one := Setting{Interface: link.Name}
		one.Value, err = read(one)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was removed meanwhile
		case err != nil:
			return nil, err
		case one.Value != "0":
			open = append(open, one)
		}
	}
	return open, nil
}

func read(s Setting) (string, error) {
	value, err := os.ReadFile("/proc/sys/" + s.Path())
	if err != nil {
		return "", fmt.Errorf("read %s: %w", s.Path(), err)
	}
	return strings.TrimSpace(string(value)), nil
}

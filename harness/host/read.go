package host

import (
	"net"
	"os"
	"runtime"
	"strings"
)

// Read looks at the machine it runs on. It takes a few milliseconds, sends
// nothing and changes nothing.
func Read() Facts {
	f := Facts{
		OS:           runtime.GOOS,
		Arch:         runtime.GOARCH,
		CPUs:         []CPU{},
		Capabilities: []string{},
		UID:          os.Geteuid(),
		Sysctls:      map[string]string{},
		Interfaces:   interfaces(),
		Limits:       map[string]Limit{},
	}
	f.Hostname, _ = os.Hostname()
	readSystem(&f)
	return f
}

// interfaces lists those of the network namespace this process is in.
func interfaces() []Interface {
	found := []Interface{}
	links, err := net.Interfaces()
	if err != nil {
		return found
	}
	for _, link := range links {
		i := Interface{Name: link.Name, MTU: link.MTU, Flags: []string{}, Addresses: []string{}}
		if link.Flags != 0 {
			i.Flags = strings.Split(link.Flags.String(), "|")
		}
		// An interface may vanish between the two calls; it is listed without
		// addresses then.
		addresses, _ := link.Addrs()
		for _, a := range addresses {
			i.Addresses = append(i.Addresses, a.String())
		}
		found = append(found, i)
	}
	return found
}

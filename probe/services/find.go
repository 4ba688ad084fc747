package services

import (
	"slices"
	"strings"
)

// All returns the services known here, those of one kind together.
func All() []Service {
	return slices.Concat(databases, caches, queues, debuggers, metrics, consoles,
		coordination, containers, notebooks, desktops, backends)
}

// Find tells which service a listener is: by the name of its process, on
// whatever port it listens; else by the port alone, where the process is
// unknown (docker-proxy and java stand for many a service). Where the process is
// that of a service known here, the ports of others do not count, and a port
// that it keeps for its own peers on other machines is no match.
//
// The protocol is "tcp" or "udp". A name longer than the kernel keeps (15 bytes,
// TASK_COMM_LEN of proc_pid_comm(5)) is cut as the kernel would.
func Find(process, protocol string, port uint16) (Match, bool) {
	process = comm(process)
	for _, s := range All() {
		if !slices.Contains(s.Processes, process) {
			continue
		}
		_, speaks := s.Ports[protocol]
		if !speaks || slices.Contains(s.peers[protocol], port) {
			return Match{}, false
		}
		return Match{Service: s, By: "process"}, true
	}
	for _, s := range All() {
		if slices.Contains(s.Ports[protocol], port) {
			return Match{Service: s, By: "port"}, true
		}
	}
	return Match{}, false
}

// commBytes is what the kernel keeps of a command name, without the NUL.
const commBytes = 15

func comm(process string) string {
	process = strings.TrimSuffix(process, ".exe")
	return process[:min(len(process), commBytes)]
}

func tcp(ports ...uint16) map[string][]uint16 { return map[string][]uint16{"tcp": ports} }

func udp(ports ...uint16) map[string][]uint16 { return map[string][]uint16{"udp": ports} }

func both(ports ...uint16) map[string][]uint16 {
	return map[string][]uint16{"tcp": ports, "udp": ports}
}

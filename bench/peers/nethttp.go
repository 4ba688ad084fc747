package main

import (
	"strconv"

	"github.com/loopcheck/loopcheck/probe/socktable"
)

// The peer net/http is that package as anybody would use it, without a benchmark
// around it. Its client and its server are this program once more, by the first
// argument.
const (
	netHTTPName   = "net/http"
	netHTTPClient = "net-http-client"
	netHTTPServer = "net-http-server"
)

// netHTTP is the program at a path, which is this one's own.
func netHTTP(path string) *peer {
	return &peer{
		name:     netHTTPName,
		programs: named(path),
		control:  socktable.TCP,
		server:   func(j job) []string { return []string{netHTTPServer, j.port(0)} },
		client: func(j job) []string {
			return []string{netHTTPClient, j.port(0), strconv.Itoa(j.size), j.window.String()}
		},
		parse: parseLine(netHTTPName),
	}
}

// Package services answers what a listener is likely to be, whether such a
// service ought to be reachable from the machine itself alone, and whether it
// answers anybody without asking who is there.
package services

import (
	"context"
	"net/netip"
)

// Service is a well-known program that listens and ought to be local: whoever
// reaches it can read, change or run things that were meant for the machine
// alone.
type Service struct {
	Name string // as its makers write it, such as "PostgreSQL"
	Kind Kind
	// Ports are where it listens unless told otherwise, by "tcp" or "udp".
	Ports map[string][]uint16
	// Processes are the command names it goes by, as the kernel cuts them, at
	// most 15 bytes.
	Processes []string
	// Reason is what may happen where others reach it, one sentence.
	Reason string
	// Bind is the setting that binds it to loopback, with the file it stands in,
	// ready to be written there.
	Bind string
	// Authenticate is the setting that makes it ask who is there; empty where it
	// has none.
	Authenticate string

	// peers are ports that the same processes listen on for other machines by
	// their purpose, such as gossip; they are not the service that ought to be
	// local.
	peers map[string][]uint16
	ask   asker
}

// Kind is the sort of service.
type Kind string

const (
	Database     Kind = "database"
	Cache        Kind = "cache"
	Queue        Kind = "message queue"
	Debugger     Kind = "debugger"
	Metrics      Kind = "metrics"
	AdminConsole Kind = "admin console"
	Coordination Kind = "coordination" // etcd, ZooKeeper, Consul
	Containers   Kind = "container engine"
	Notebook     Kind = "notebook"
	Printing     Kind = "printing"
	Desktop      Kind = "remote desktop"
	Backend      Kind = "application backend" // meant for a web server in front of it
	Models       Kind = "model server"        // runs machine-learning models
)

// Match is why a listener is taken for a service.
type Match struct {
	Service Service
	// By is "process" or "port". A port alone is a convention: another program
	// may have it.
	By string
}

// Openness is what came of asking a service for something it should keep from
// strangers.
type Openness string

const (
	// Open says that it answered without authentication.
	Open Openness = "open"
	// Protected says that it asked who is there, or refused.
	Protected Openness = "protected"
	// Unclear says that it gave no answer of that service.
	Unclear Openness = "unclear"
)

// Greeting is the answer of a service.
type Greeting struct {
	Openness Openness
	// Asked is what was sent, such as "PING" or "GET /version".
	Asked string
	// Seen is what came back, in short; what the service chose itself is in it.
	Seen string
}

// asker sends one harmless request that changes nothing and judges the answer.
// The error is for what is no answer: nobody there, the end of the context.
type asker func(ctx context.Context, to netip.AddrPort) (Greeting, error)

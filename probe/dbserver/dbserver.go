// Package dbserver runs database servers for a while: PostgreSQL and Redis, from
// the programs that the machine has installed, on free ports of 127.0.0.1, over
// TLS, and on unix sockets.
//
// The servers run as an ordinary user in namespaces of their own for everything
// but the network, so that they are reached over the machine's own loopback. Their
// files lie in memory, where nobody else sees them, and all of it is gone with the
// process that started them, however that ends. Where no namespaces are to be had,
// the files lie in a temporary folder that is removed in the same moment.
//
// What they write is not made safe against a crash of the machine (fsync is off);
// it is against one of the server.
//
// It is implemented on Linux. Elsewhere Start returns an error that wraps
// errors.ErrUnsupported.
package dbserver

import (
	"crypto/x509"
	"fmt"
	"net/netip"
)

const (
	// User is who may do everything in both servers.
	User = "loopcheck"
	// Database is PostgreSQL's database.
	Database = "postgres"
	// Clients is how many a server lets in at once. PostgreSQL keeps a few of
	// them for who may do everything.
	Clients = 80
	// Guest is a user of Redis with User's password, who may get and set the keys
	// that begin with GuestPrefix, and nothing else.
	Guest       = "guest"
	GuestPrefix = "guest:"
)

// Server is a server that runs.
type Server struct {
	// Addr is where it is reached over TCP.
	Addr netip.AddrPort
	// Socket is the path of its unix socket.
	Socket string
	// TLS is where it speaks TLS from the first byte on; not valid where it does
	// not. PostgreSQL is asked for TLS at Addr.
	TLS netip.AddrPort
	// Password is User's. Who has none is not let in.
	Password string
	// Authority is who signed the certificate, which is for localhost and 127.0.0.1.
	Authority *x509.CertPool

	running
}

// MissingError says that a program is not installed.
type MissingError struct {
	Program string // such as "redis-server"
	Package string // Debian's that has it
	Looked  string // where it was looked for
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed: looked for it in %s", e.Program, e.Looked)
}

// TooOldError says that the program that is installed is too old.
type TooOldError struct {
	Program string
	Has     int // its major version
	Needs   int // the oldest that does
}

func (e *TooOldError) Error() string {
	return fmt.Sprintf("%s is of version %d, and version %d or a later one is needed", e.Program, e.Has, e.Needs)
}

// PrivilegeError says that root may not run a program as another user, which the
// servers need where there are no user namespaces.
type PrivilegeError struct{ Err error }

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("servers cannot be run as another user: %v", e.Err)
}

func (e *PrivilegeError) Unwrap() error { return e.Err }

// FolderError says that no folder for temporary files is fit for the servers'.
type FolderError struct{ Err error }

func (e *FolderError) Error() string {
	return fmt.Sprintf("no folder is fit for the files of servers: %v", e.Err)
}

func (e *FolderError) Unwrap() error { return e.Err }

// UnknownUserError says that PostgreSQL would run as a user whom the machine does
// not know by a name.
type UnknownUserError struct{ UID int }

func (e *UnknownUserError) Error() string {
	return fmt.Sprintf("PostgreSQL runs as no user without a name, and that of the number %d has none", e.UID)
}

// UnusableError says that a program is installed that the servers' user cannot
// execute.
type UnusableError struct {
	Program string // its path
	Err     error
}

func (e *UnusableError) Error() string {
	return fmt.Sprintf("%s cannot be executed by the user of the server: %v", e.Program, e.Err)
}

func (e *UnusableError) Unwrap() error { return e.Err }

// StartError says that a server did not start, or that its files were not made.
type StartError struct {
	Program string
	Err     error
	Output  string // the end of what it wrote, without the password
}

func (e *StartError) Error() string {
	if e.Output == "" {
		return fmt.Sprintf("%s does not start: %v", e.Program, e.Err)
	}
	return fmt.Sprintf("%s does not start: %v: %s", e.Program, e.Err, e.Output)
}

func (e *StartError) Unwrap() error { return e.Err }

package damage

import "syscall"

// Syscall is a system call that the damaged stack does not make, and what it
// answers in its place: a stack that takes what it should refuse, or refuses
// it with another error, as those in user space do (gVisor, WSL 1).
type Syscall struct {
	// Name is that of the manual, such as "bind".
	Name string `json:"name"`
	// Length picks the calls whose third argument it is, an address' length in
	// bytes: 16 for IPv4, 28 for IPv6. With 0 every call is picked.
	Length uint32 `json:"length,omitempty"`
	// Arguments picks the calls that have these values as their arguments,
	// counted from 0. Of each the low 32 bits are looked at.
	Arguments map[int]uint32 `json:"arguments,omitempty"`
	// Errno is the answer; 0 says that the call succeeded.
	Errno syscall.Errno `json:"errno,omitempty"`
}

// Option picks the calls of setsockopt(2) and getsockopt(2) for one option.
func Option(level, name int) map[int]uint32 {
	return map[int]uint32{1: uint32(level), 2: uint32(name)}
}

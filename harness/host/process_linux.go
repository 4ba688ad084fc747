package host

import "golang.org/x/sys/unix"

// resources are the limits that a program of many sockets, threads or locked
// pages runs into, by the name of setrlimit(2) without its prefix.
var resources = map[string]int{
	"as":         unix.RLIMIT_AS,
	"core":       unix.RLIMIT_CORE,
	"cpu":        unix.RLIMIT_CPU,
	"data":       unix.RLIMIT_DATA,
	"fsize":      unix.RLIMIT_FSIZE,
	"memlock":    unix.RLIMIT_MEMLOCK,
	"msgqueue":   unix.RLIMIT_MSGQUEUE,
	"nice":       unix.RLIMIT_NICE,
	"nofile":     unix.RLIMIT_NOFILE,
	"nproc":      unix.RLIMIT_NPROC,
	"rtprio":     unix.RLIMIT_RTPRIO,
	"sigpending": unix.RLIMIT_SIGPENDING,
	"stack":      unix.RLIMIT_STACK,
}

// limits reads those of this process. The soft limit of open files is the hard
// one as a rule: the Go runtime raises it when a program starts.
func limits() map[string]Limit {
	found := map[string]Limit{}
	for name, resource := range resources {
		var limit unix.Rlimit
		if unix.Getrlimit(resource, &limit) == nil {
			found[name] = Limit{Soft: limitValue(limit.Cur), Hard: limitValue(limit.Max)}
		}
	}
	return found
}

// limitValue takes RLIM_INFINITY, and what no int64 holds, for unlimited.
func limitValue(n uint64) int64 {
	if n > 1<<63-1 {
		return -1
	}
	return int64(n)
}

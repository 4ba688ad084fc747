package sandbox

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/iface"
)

// zones holds the network namespace of each zone by name; nil for the one that
// the worker was started in and has no rights over.
type zones map[string]*os.File

// makeZones makes the network namespaces, the first of which is the one that
// the process was started in, and sets lo up in each.
func makeZones(names []string) (zones, error) {
	z := zones{}
	for i, name := range names {
		err := onThread(func() error {
			if i > 0 {
				if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
					return denied(fmt.Errorf("unshare the network of zone %q: %w", name, err))
				}
			}
			namespace, err := os.Open("/proc/thread-self/ns/net")
			if err != nil {
				return fmt.Errorf("open the network namespace of zone %q: %w", name, err)
			}
			z[name] = namespace
			return denied(iface.Raise("lo"))
		})
		if err != nil {
			return nil, err
		}
	}
	return z, nil
}

// do runs f on a new thread inside a zone and waits for it.
func (z zones) do(zone string, f func() error) error {
	namespace, known := z[zone]
	if !known {
		return fmt.Errorf("the sandbox has no zone %q", zone)
	}
	if namespace == nil {
		return onThread(f)
	}
	return onThread(func() error {
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter zone %q: %w", zone, err)
		}
		return f()
	})
}

// onThread runs f on a thread that nothing else uses and that ends with it.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// Not unlocked: the runtime ends the thread with the goroutine.
		runtime.LockOSThread()
		result <- f()
	}()
	return <-result
}

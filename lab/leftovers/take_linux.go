package leftovers

import (
	"context"
	"fmt"
)

// Take records the state of the machine as the calling process sees it: in its
// namespaces and with its rights. What those do not allow to be looked at is
// in the snapshot's Unseen; an error is returned only for a Watch that makes no
// sense, for a /proc that cannot be read, and when the context ends.
func (w Watch) Take(ctx context.Context) (Snapshot, error) {
	if err := w.validate(); err != nil {
		return Snapshot{}, err
	}
	areas := map[Kind]area{}

	// The tools come first: they are processes themselves, gone by the time
	// processes are listed, and what they make the kernel load shows in the
	// sysctls of every snapshot alike.
	areas[NFTables] = nftables(ctx)
	areas[IPTables] = iptables(ctx)

	areas[Sysctl] = sysctls()
	network(areas)

	mounts, pins := readMounts()
	areas[Mount] = mounts

	// Sockets are listed before their owners: a socket that is opened in between
	// has an owner nobody asks for, the other way round it would lack one.
	sockets := readSockets()
	seen, err := takeCensus(w)
	if err != nil {
		return Snapshot{}, fmt.Errorf("list processes: %w", err)
	}
	areas[Process] = seen.processArea()
	areas[Namespace] = seen.namespaceArea(pins)
	areas[Socket] = sockets.area(seen, readSockets())
	areas[IPC] = sysvIPC(seen)
	areas[File] = files(w, seen)

	if err := ctx.Err(); err != nil {
		return Snapshot{}, fmt.Errorf("take a snapshot: %w", err)
	}
	return Snapshot{areas: areas}, nil
}

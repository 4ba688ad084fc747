package socktable

import (
	"context"
	"fmt"
)

// holding is one descriptor of one listed socket.
type holding struct {
	socket  int32 // index into the table
	process int32 // index into ownerSearch.processes
	fd      int32
}

// ownerSearch matches descriptors with sockets by inode.
type ownerSearch struct {
	sockets []Socket
	// first is the index of a socket with the inode, and next[i] that of
	// another with the same inode as i, or -1: the TCP sockets under one MPTCP
	// socket share its inode.
	first map[uint32]int32
	next  []int32

	processes []Owner
	holdings  []holding
}

// readOwners finds the processes that hold the table's sockets. A process that
// ends meanwhile is no error. Where no socket can have an owner, none is
// looked into.
func (t *Table) readOwners(ctx context.Context) error {
	s := newOwnerSearch(t.Sockets)
	if len(s.first) > 0 {
		w, err := openProc()
		if err != nil {
			return fmt.Errorf("find the owners of sockets: %w", err)
		}
		defer w.close()
		if err := w.walk(ctx, s); err != nil {
			return fmt.Errorf("find the owners of sockets: %w", err)
		}
		t.Unreadable, t.HiddenProcesses = w.unreadable, !w.sawInit
	}
	s.assign()
	for i := range t.Sockets {
		t.Sockets[i].Ownership = t.ownership(&t.Sockets[i])
	}
	return nil
}

func (t *Table) ownership(s *Socket) Ownership {
	switch {
	case len(s.Owners) > 0:
		return Owned
	case s.Inode == 0:
		return NoProcess
	case t.Unreadable > 0 || t.HiddenProcesses:
		return NotAllowed
	}
	return NotInSight
}

func newOwnerSearch(sockets []Socket) *ownerSearch {
	s := &ownerSearch{
		sockets: sockets,
		first:   make(map[uint32]int32, len(sockets)),
		next:    make([]int32, len(sockets)),
	}
	for i := range sockets {
		s.next[i] = -1
		inode := sockets[i].Inode
		if inode == 0 {
			continue
		}
		if other, ok := s.first[inode]; ok {
			s.next[i] = other
		}
		s.first[inode] = int32(i)
	}
	return s
}

// found takes a descriptor of a socket that the process about to be added has.
func (s *ownerSearch) found(inode uint32, fd int32) {
	i, ok := s.first[inode]
	if !ok {
		return
	}
	for ; i >= 0; i = s.next[i] {
		s.holdings = append(s.holdings, holding{i, int32(len(s.processes)), fd})
	}
}

// assign gives each socket its owners, in the order in which the processes were
// read: a process once, with all its descriptors. The lists share two arrays,
// so that thousands of owners do not make thousands of allocations.
func (s *ownerSearch) assign() {
	held := s.bySocket()
	fds := make([]int, len(held))
	owners := make([]Owner, 0, len(held))
	for begin := 0; begin < len(held); {
		socket := held[begin].socket
		firstOwner, end := len(owners), begin
		for end < len(held) && held[end].socket == socket {
			process, firstFD := held[end].process, end
			for ; end < len(held) && held[end].socket == socket && held[end].process == process; end++ {
				fds[end] = int(held[end].fd)
			}
			owner := s.processes[process]
			owner.FDs = fds[firstFD:end:end]
			owners = append(owners, owner)
		}
		s.sockets[socket].Owners = owners[firstOwner:len(owners):len(owners)]
		begin = end
	}
}

// bySocket sorts the holdings by socket and keeps their order within one. It
// counts instead of comparing, as the sockets are numbered.
func (s *ownerSearch) bySocket() []holding {
	place := make([]int32, len(s.sockets)+1)
	for _, h := range s.holdings {
		place[h.socket+1]++
	}
	for i := 1; i < len(place); i++ {
		place[i] += place[i-1]
	}
	sorted := make([]holding, len(s.holdings))
	for _, h := range s.holdings {
		sorted[place[h.socket]] = h
		place[h.socket]++
	}
	return sorted
}

package ruleset

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// Load puts a ruleset into the calling thread's network namespace, as a whole or
// not at all; tables of iptables-legacy follow. Tables of the same names must not
// be there. It is meant for namespaces of sandboxes.
//
// Counters, quotas and other states begin as they were in the original, and
// elements with a timeout with the time that they had left. Tables lose their
// owner.
//
// What names interfaces that are not here is left out and told in Copy.Omitted;
// what means something else here is in Copy.Changed. Whatever else the kernel
// does not take makes Load fail with a *RefusedError that names each such part.
// It fails with a *MissingProgramError where there are tables of
// iptables-legacy and no iptables-legacy-restore, and with a *PermissionError
// without CAP_NET_ADMIN.
func Load(ctx context.Context, r *Ruleset) (*Copy, error) {
	conn, err := nfnl.Dial()
	if err != nil {
		return nil, denied(attemptLoad, err)
	}
	defer conn.Close()
	return loadAfter(ctx, conn, r, unit{})
}

const attemptLoad = "load netfilter rules"

// loadAfter is Load, with something else that goes before it in the same transaction.
func loadAfter(ctx context.Context, conn *nfnl.Conn, r *Ruleset, before unit) (*Copy, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("%s: list the interfaces: %w", attemptLoad, err)
	}
	byName := map[string]uint32{}
	for _, i := range interfaces {
		byName[i.Name] = uint32(i.Index)
	}
	p, err := makePlan(r, byName)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", attemptLoad, err)
	}
	p.units = append([]unit{before}, p.units...)
	if err := p.carryOut(conn); err != nil {
		return nil, denied(attemptLoad, err)
	}
	copied, err := readTables(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("%s: read them back: %w", attemptLoad, err)
	}
	result, err := p.pair(copied)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", attemptLoad, err)
	}
	if err := legacy4.load(ctx, r.Legacy4); err != nil {
		return nil, err
	}
	if err := legacy6.load(ctx, r.Legacy6); err != nil {
		return nil, err
	}
	for _, l := range []Legacy{r.Legacy4, r.Legacy6} {
		if l.Unread != "" {
			result.Omitted = append(result.Omitted, Refusal{Kind: "tables of iptables-legacy", Why: l.Unread})
		}
	}
	return result, nil
}

// carryOut loads the rules in one transaction where that is allowed to be large
// enough. Of several, the first makes the tables, so that they can be taken back
// when a later one is refused.
func (p *plan) carryOut(conn *nfnl.Conn) error {
	size := 0
	for _, u := range p.units {
		size += u.size()
	}
	room, err := conn.Room(size)
	if err != nil {
		return err
	}
	for i, transaction := range p.transactions(room) {
		refusals, err := conn.Transact(transaction.messages)
		if err == nil && len(refusals) > 0 {
			err = transaction.refused(refusals)
		}
		if err != nil && i > 0 {
			err = errors.Join(err, p.takeBack(conn))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeBack removes the tables that were made.
func (p *plan) takeBack(conn *nfnl.Conn) error {
	var errs []error
	for _, t := range p.source.Tables {
		family, _ := nfnl.FamilyNumber(t.Family)
		name, err := nfnl.Attributes{}.With(tableName, zeroEnded(t.Name)).Encode()
		if err != nil {
			return err
		}
		refusals, err := conn.Transact([]nfnl.Message{{Type: nfnl.DelTable, Family: family, Attributes: name}})
		if len(refusals) > 0 && refusals[0].Err != syscall.ENOENT {
			err = fmt.Errorf("remove table %s %s: %w", t.Family, t.Name, refusals[0].Err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// refused says of each message that the kernel did not take which part it was.
func (u unit) refused(refusals []nfnl.Refusal) error {
	if errors.Is(refusals[0].Err, syscall.EPERM) {
		return refusals[0].Err
	}
	e := &RefusedError{}
	for _, r := range refusals {
		part := Refusal{Kind: "the transaction"}
		if r.Index >= 0 && r.Index < len(u.about) {
			part = u.about[r.Index]
		}
		part.Why = r.Err.Error()
		e.Parts = append(e.Parts, part)
	}
	return e
}

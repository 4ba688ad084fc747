package ruleset

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// readTries bounds how often the rules are read that change meanwhile.
const readTries = 10

// errChanged says that the rules changed while they were read.
var errChanged = fmt.Errorf("the rules changed each of the %d times they were read", readTries)

// Read reads all rules of the calling thread's network namespace, as they were
// at one moment. It neither changes nor loads anything: asking iptables-legacy
// would create the tables that it asks about, so that it is asked only where
// the kernel says that there are some.
//
// The error is a *PermissionError without CAP_NET_ADMIN.
func Read(ctx context.Context) (*Ruleset, error) {
	r, err := readNFTables(ctx)
	if err != nil {
		return nil, denied("read the netfilter rules", err)
	}
	if err := r.readLegacy(ctx); err != nil {
		return nil, err
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	r.Interfaces = map[string]uint32{}
	for _, i := range interfaces {
		r.Interfaces[i.Name] = uint32(i.Index)
	}
	return r, nil
}

// readNFTables reads what nf_tables has. A kernel without it has no tables.
func readNFTables(ctx context.Context) (*Ruleset, error) {
	conn, err := nfnl.Dial()
	if errors.Is(err, syscall.EPROTONOSUPPORT) {
		return &Ruleset{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return readConsistent(ctx, conn)
}

func denied(attempt string, err error) error {
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return &PermissionError{Attempt: attempt, Err: err}
	}
	return fmt.Errorf("%s: %w", attempt, err)
}

// readConsistent reads until nothing changed between the beginning and the end.
func readConsistent(ctx context.Context, conn *nfnl.Conn) (*Ruleset, error) {
	for range readTries {
		before, err := generation(ctx, conn)
		if err != nil {
			return nil, err
		}
		r, err := readTables(ctx, conn)
		if err == nil {
			err = r.describe(ctx)
		}
		after, genErr := generation(ctx, conn)
		switch {
		case genErr != nil:
			return nil, genErr
		case before != after || errors.Is(err, nfnl.ErrTorn):
			continue
		case err != nil:
			return nil, err
		}
		r.Generation = after
		return r, nil
	}
	return nil, errChanged
}

func generation(ctx context.Context, conn *nfnl.Conn) (uint32, error) {
	var id uint32
	err := conn.Get(ctx, nfnl.Message{Type: nfnl.GetGeneration}, func(_ uint8, data []byte) error {
		a, err := nfnl.Parse(data)
		id = a.Uint32(generationID)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ask for the generation of the rules: %w", err)
	}
	return id, nil
}

// reading finds the tables that parts belong to.
type reading struct {
	conn   *nfnl.Conn
	tables []*Table
	byName map[string]*Table
}

// errNoTable says that a part came whose table did not: it is newer.
var errNoTable = fmt.Errorf("%w: a part of a table that was not there", nfnl.ErrTorn)

func readTables(ctx context.Context, conn *nfnl.Conn) (*Ruleset, error) {
	r := reading{conn: conn, byName: map[string]*Table{}}
	for _, part := range []struct {
		what string
		get  uint8
		add  func(uint8, nfnl.Attributes, []byte) error
	}{
		{"tables", nfnl.GetTable, r.addTable},
		{"chains", nfnl.GetChain, r.addChain},
		{"objects", nfnl.GetObject, r.addObject},
		{"flowtables", nfnl.GetFlowtable, r.addFlowtable},
		{"sets", nfnl.GetSet, r.addSet},
		{"rules", nfnl.GetRule, r.addRule},
	} {
		err := conn.List(ctx, nfnl.Message{Type: part.get}, func(family uint8, data []byte) error {
			a, err := nfnl.Parse(data)
			if err != nil {
				return err
			}
			return part.add(family, a, data)
		})
		if err != nil {
			return nil, fmt.Errorf("list the %s: %w", part.what, err)
		}
	}
	result := &Ruleset{}
	for _, t := range r.tables {
		if err := r.readElements(ctx, t); err != nil {
			return nil, err
		}
		result.Tables = append(result.Tables, *t)
	}
	return result, nil
}

func (r *reading) table(family uint8, name string) (*Table, error) {
	t := r.byName[nfnl.FamilyName(family)+" "+name]
	if t == nil {
		return nil, fmt.Errorf("%w: %s %s", errNoTable, nfnl.FamilyName(family), name)
	}
	return t, nil
}

func (r *reading) addTable(family uint8, a nfnl.Attributes, data []byte) error {
	name := nfnl.FamilyName(family)
	if name == "" {
		return fmt.Errorf("unknown protocol family %d", family)
	}
	flags := a.Uint32(tableFlags)
	t := &Table{
		Family:     name,
		Name:       a.Text(tableName),
		Dormant:    flags&flagDormant != 0,
		Owned:      flags&flagOwner != 0,
		Attributes: data,
	}
	r.tables = append(r.tables, t)
	r.byName[t.Family+" "+t.Name] = t
	return nil
}

func (r *reading) addChain(family uint8, a nfnl.Attributes, data []byte) error {
	t, err := r.table(family, a.Text(chainTable))
	if err != nil {
		return err
	}
	c := Chain{
		Name:       a.Text(chainName),
		Handle:     a.Uint64(chainHandle),
		Bound:      a.Uint32(chainFlags)&flagBound != 0,
		Attributes: data,
	}
	if _, hooked := a.Find(chainHook); hooked {
		hook := a.Nested(chainHook)
		c.Base = &Base{
			Type:     a.Text(chainType),
			Hook:     hookName(t.Family, hook.Uint32(hookNumber)),
			Priority: int32(hook.Uint32(hookPriority)),
			Policy:   policyName(a.Uint32(chainPolicy)),
			Devices:  devices(hook, hookDevices),
		}
	}
	t.Chains = append(t.Chains, c)
	return nil
}

func (r *reading) addRule(family uint8, a nfnl.Attributes, data []byte) error {
	t, err := r.table(family, a.Text(ruleTable))
	if err != nil {
		return err
	}
	for i := range t.Chains {
		if c := &t.Chains[i]; c.Name == a.Text(ruleChain) {
			c.Rules = append(c.Rules, Rule{
				Handle:     a.Uint64(ruleHandle),
				Position:   len(c.Rules) + 1,
				Comment:    comment(a),
				Attributes: data,
			})
			return nil
		}
	}
	return fmt.Errorf("%w: chain %s", errNoTable, a.Text(ruleChain))
}

func (r *reading) addSet(family uint8, a nfnl.Attributes, data []byte) error {
	t, err := r.table(family, a.Text(setTable))
	if err != nil {
		return err
	}
	flags := a.Uint32(setFlags)
	t.Sets = append(t.Sets, Set{
		Name:       a.Text(setName),
		Anonymous:  flags&flagAnonymous != 0,
		Map:        flags&(flagMap|flagObject) != 0,
		Attributes: data,
	})
	return nil
}

func (r *reading) addObject(family uint8, a nfnl.Attributes, data []byte) error {
	t, err := r.table(family, a.Text(objectTable))
	if err != nil {
		return err
	}
	t.Objects = append(t.Objects, Object{Name: a.Text(objectName), Type: a.Uint32(objectType), Attributes: data})
	return nil
}

func (r *reading) addFlowtable(family uint8, a nfnl.Attributes, data []byte) error {
	t, err := r.table(family, a.Text(flowtableTable))
	if err != nil {
		return err
	}
	t.Flowtables = append(t.Flowtables, Flowtable{
		Name:       a.Text(flowtableName),
		Devices:    devices(a.Nested(flowtableHook), flowtableDevs),
		Attributes: data,
	})
	return nil
}

// readElements reads what is in the sets of a table. A set that is gone by now
// makes the reading torn.
func (r *reading) readElements(ctx context.Context, t *Table) error {
	family, _ := nfnl.FamilyNumber(t.Family)
	for i := range t.Sets {
		set := &t.Sets[i]
		ask, err := nfnl.Attributes{}.With(elementsTable, zeroEnded(t.Name)).With(elementsSet, zeroEnded(set.Name)).Encode()
		if err != nil {
			return err
		}
		err = r.conn.List(ctx, nfnl.Message{Type: nfnl.GetElement, Family: family, Attributes: ask}, func(_ uint8, data []byte) error {
			page, err := nfnl.Parse(data)
			if err != nil {
				return err
			}
			for _, element := range page.Nested(elementsList) {
				set.Elements = append(set.Elements, element.Data)
			}
			return nil
		})
		if errors.Is(err, syscall.ENOENT) {
			err = nfnl.ErrTorn
		}
		if err != nil {
			return fmt.Errorf("list the elements of set %s of table %s %s: %w", set.Name, t.Family, t.Name, err)
		}
	}
	return nil
}

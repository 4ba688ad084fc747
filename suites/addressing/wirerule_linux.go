package addressing

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// wireRule is the rule `iifname != "lo" ip daddr 127.0.0.0/8 counter drop` in a
// table of its own.
type wireRule struct {
	conn  *nftables.Conn
	table *nftables.Table
	chain *nftables.Chain
}

// addWireRule loads the rule into the calling thread's network namespace.
// Without nftables in the kernel there is no rule, and the error says why.
func addWireRule() (*wireRule, error) {
	conn, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		// A kernel that refuses a batch as a whole answers it once, and the
		// library waits for an answer to each of its messages.
		return c.SetDeadline(time.Now().Add(patience))
	}))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	r := &wireRule{conn: conn}
	r.table = conn.AddTable(&nftables.Table{Name: "loopcheck", Family: nftables.TableFamilyIPv4})
	r.chain = conn.AddChain(&nftables.Chain{
		Name: "input", Table: r.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter,
	})
	const register, destinationAt, firstByte = 1, 16, 1
	lo := make([]byte, unix.IFNAMSIZ)
	copy(lo, "lo")
	conn.AddRule(&nftables.Rule{Table: r.table, Chain: r.chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: register},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: lo},
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: destinationAt, Len: firstByte},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{127}},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	if err := conn.Flush(); err != nil {
		return nil, fmt.Errorf("load a rule of nftables: %w", err)
	}
	return r, nil
}

// counters are wireCounters and the rule's own.
func (r *wireRule) counters() (map[string]int64, error) {
	all, err := wireCounters()
	if err != nil {
		return nil, err
	}
	rules, err := r.conn.GetRules(r.table, r.chain)
	if err != nil {
		return nil, fmt.Errorf("list the rules: %w", err)
	}
	for _, rule := range rules {
		for _, e := range rule.Exprs {
			if counter, ok := e.(*expr.Counter); ok {
				all[wireRuleCounter] += int64(counter.Packets)
			}
		}
	}
	return all, nil
}

func (r *wireRule) remove() error {
	r.conn.DelTable(r.table)
	if err := r.conn.Flush(); err != nil {
		return fmt.Errorf("remove the rule: %w", err)
	}
	return nil
}

// lacksNFTables says whether the error is that of a kernel without.
func lacksNFTables(err error) bool {
	for _, errno := range []unix.Errno{unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.ENOENT, unix.EINVAL} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

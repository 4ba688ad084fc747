package firewall

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// filter is a ruleset that is loaded.
type filter struct {
	ruleset ruleset
	conn    *nftables.Conn
	chains  map[string]*nftables.Chain // by the family of their table
	// origins says for each rule in a chain which of the ruleset's it is.
	origins map[string][]int
}

// helper is the origin of a rule that the ruleset does not hold.
const helper = -1

// lackError says that the kernel lacks what the rules need.
type lackError struct {
	lack
	err error
}

func (e *lackError) Error() string { return e.Found }
func (e *lackError) Unwrap() error { return e.err }

// load loads the rules for packets of the families into the calling thread's
// network namespace.
func load(ctx context.Context, r ruleset, families []sock.Family) (*filter, error) {
	conn, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		// A kernel that refuses a batch as a whole answers it once, and the
		// library waits for an answer to each of its messages.
		return c.SetDeadline(time.Now().Add(patience))
	}))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	if _, err := conn.ListTables(); err != nil {
		return nil, lacking(nfTables.Name, fmt.Errorf("ask for the tables of nftables: %w", err), syscall.EINVAL)
	}
	f := &filter{ruleset: r, conn: conn, chains: map[string]*nftables.Chain{}, origins: map[string][]int{}}
	for _, family := range families {
		if name := r.table(family); f.chains[name] == nil {
			f.chains[name] = f.addChain(name)
		}
	}
	if err := conn.Flush(); err != nil {
		return nil, lacking(nfTables.Name, fmt.Errorf("add a table and a chain: %w", err))
	}
	for name, chain := range f.chains {
		if err := f.addRules(name, chain); err != nil {
			return nil, err
		}
	}
	if err := conn.Flush(); err != nil {
		return nil, lacking(r.need(), fmt.Errorf("load the rules %s: %w", r, err))
	}
	return f, ctx.Err()
}

var tableFamilies = map[string]nftables.TableFamily{
	"ip": nftables.TableFamilyIPv4, "ip6": nftables.TableFamilyIPv6, "inet": nftables.TableFamilyINet,
}

func (f *filter) addChain(family string) *nftables.Chain {
	table := f.conn.AddTable(&nftables.Table{Name: "loopcheck", Family: tableFamilies[family]})
	policy, at := nftables.ChainPolicyAccept, nftables.ChainHookInput
	if f.ruleset.Policy == verdict.Drop {
		policy = nftables.ChainPolicyDrop
	}
	if f.ruleset.Hook == output {
		at = nftables.ChainHookOutput
	}
	return f.conn.AddChain(&nftables.Chain{
		Name: string(f.ruleset.Hook), Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: at, Priority: nftables.ChainPriorityFilter, Policy: &policy,
	})
}

func (f *filter) addRules(family string, chain *nftables.Chain) error {
	add := func(origin int, expressions ...expr.Any) {
		f.conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: expressions})
		f.origins[family] = append(f.origins[family], origin)
	}
	if f.ruleset.Policy == verdict.Drop && family != "ip" {
		// Without its neighbour messages (RFC 4861) no packet of IPv6 would
		// come as far as the rules.
		add(helper, append(matchProtocol(unix.IPPROTO_ICMPV6), &expr.Verdict{Kind: expr.VerdictAccept})...)
	}
	for i, r := range f.ruleset.Rules {
		last, err := r.statement()
		if err != nil {
			return err
		}
		// A rule without protocols is one rule all the same.
		protocols := r.Protocols
		if len(protocols) == 0 {
			add(i, append(f.match(r), last...)...)
		}
		for _, protocol := range protocols {
			matches := append(f.match(r), matchPort(protocol, r.Port)...)
			add(i, append(matches, last...)...)
		}
	}
	return nil
}

// match is what a rule looks at beside protocol and port.
func (f *filter) match(r rule) []expr.Any {
	var matches []expr.Any
	if r.Interface != "" {
		key := expr.MetaKeyIIFNAME
		if f.ruleset.Hook == output {
			key = expr.MetaKeyOIFNAME
		}
		name := make([]byte, unix.IFNAMSIZ)
		copy(name, r.Interface)
		matches = append(matches, &expr.Meta{Key: key, Register: 1}, equal(name))
	}
	if r.Established {
		matches = append(matches,
			&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
			&expr.Bitwise{
				SourceRegister: 1, DestRegister: 1, Len: 4,
				Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED),
				Xor:  binaryutil.NativeEndian.PutUint32(0),
			},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)})
	}
	return matches
}

func matchPort(protocol sock.Kind, port uint16) []expr.Any {
	number := byte(unix.IPPROTO_TCP)
	if protocol == sock.UDP {
		number = unix.IPPROTO_UDP
	}
	const destinationAt = 2 // in the headers of TCP and UDP alike
	return append(matchProtocol(number),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: destinationAt, Len: 2},
		equal(binary.BigEndian.AppendUint16(nil, port)))
}

func matchProtocol(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{number})}
}

func equal(data []byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

// icmpxCodes are the rejections of tables for both families, each of which is
// one of its own in either (nft(8), REJECT STATEMENT).
var icmpxCodes = map[verdict.Kind]uint8{
	"icmpx no-route":         unix.NFT_REJECT_ICMPX_NO_ROUTE,
	"icmpx port-unreachable": unix.NFT_REJECT_ICMPX_PORT_UNREACH,
	"icmpx host-unreachable": unix.NFT_REJECT_ICMPX_HOST_UNREACH,
	"icmpx admin-prohibited": unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED,
}

// statement counts the packet and does with it what the rule says.
func (r rule) statement() ([]expr.Any, error) {
	statement := []expr.Any{&expr.Counter{}}
	switch {
	case r.Does.Action == "":
		return statement, nil
	case r.Does == accepted:
		return append(statement, &expr.Verdict{Kind: expr.VerdictAccept}), nil
	case r.Does == dropped:
		return append(statement, &expr.Verdict{Kind: expr.VerdictDrop}), nil
	case r.Does.Kind == verdict.TCPReset:
		return append(statement, &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}), nil
	}
	if code, known := icmpxCodes[r.Does.Kind]; known {
		return append(statement, &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: code}), nil
	}
	for _, k := range verdict.ICMPKinds() {
		if k.Kind == r.Does.Kind {
			return append(statement, &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: k.Code}), nil
		}
	}
	return nil, fmt.Errorf("no rule of nftables can say %q", r.Does)
}

// need is what the kernel has to have for the rules beside tables and chains.
func (r ruleset) need() string {
	for _, rule := range r.Rules {
		switch {
		case rule.Established:
			return nftCt.Name
		case rule.Does.Action == verdict.Reject:
			return nftReject.Name
		}
	}
	return nfTables.Name
}

// lacking makes the errors by which the kernel says that it has no such thing
// a lackError: no such protocol of netlink, family of tables, subsystem or
// expression; and others that mean it where they were met.
func lacking(need string, err error, others ...syscall.Errno) error {
	meaning := append(others, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT, syscall.EOPNOTSUPP, syscall.ENOENT)
	for _, errno := range meaning {
		if errors.Is(err, errno) {
			return &lackError{lack: lack{Need: need, Found: err.Error()}, err: err}
		}
	}
	return err
}

// loaded is the rules of a table as the kernel has them, in order.
func (f *filter) loaded(family string) ([]*nftables.Rule, error) {
	chain := f.chains[family]
	rules, err := f.conn.GetRules(chain.Table, chain)
	if err != nil {
		return nil, fmt.Errorf("list the rules of the table %s: %w", family, err)
	}
	if len(rules) != len(f.origins[family]) {
		return nil, fmt.Errorf("the table %s has %d rules and was given %d", family, len(rules), len(f.origins[family]))
	}
	return rules, nil
}

// remove takes one of the ruleset's rules out of every chain.
func (f *filter) remove(origin int) error {
	for family := range f.chains {
		rules, err := f.loaded(family)
		if err != nil {
			return err
		}
		var kept []int
		for i, r := range rules {
			if f.origins[family][i] != origin {
				kept = append(kept, f.origins[family][i])
				continue
			}
			if err := f.conn.DelRule(r); err != nil {
				return fmt.Errorf("remove the rule `%s`: %w", f.ruleset.Rules[origin], err)
			}
		}
		f.origins[family] = kept
	}
	if err := f.conn.Flush(); err != nil {
		return fmt.Errorf("remove the rule `%s`: %w", f.ruleset.Rules[origin], err)
	}
	return nil
}

// recount reads the counters of the rules that questions are about, again
// while one has met fewer packets than were sent to it, as long as patience
// lasts: a busy processor may be late with what it has taken in.
func (f *filter) recount(ctx context.Context, questions []question) ([]count, error) {
	deadline := time.Now().Add(patience)
	for {
		counts, err := f.count(questions)
		if err != nil {
			return nil, err
		}
		late := false
		for _, c := range counts {
			late = late || c.Packets < c.Expected
		}
		if !late || time.Now().After(deadline) {
			return counts, nil
		}
		select {
		case <-ctx.Done():
			return counts, ctx.Err()
		case <-time.After(recountInterval):
		}
	}
}

func (f *filter) count(questions []question) ([]count, error) {
	type key struct {
		table string
		rule  int
	}
	expected, packets := map[key]uint64{}, map[key]uint64{}
	var order []key
	for _, q := range questions {
		k := key{f.ruleset.table(q.Family), q.Rule}
		if expected[k] == 0 {
			order = append(order, k)
		}
		expected[k]++
	}
	for family := range f.chains {
		rules, err := f.loaded(family)
		if err != nil {
			return nil, err
		}
		for i, r := range rules {
			for _, e := range r.Exprs {
				if counter, ok := e.(*expr.Counter); ok {
					packets[key{family, f.origins[family][i]}] += counter.Packets
				}
			}
		}
	}
	var counts []count
	for _, k := range order {
		counts = append(counts, count{Table: k.table, Rule: f.ruleset.Rules[k.rule].String(), Packets: packets[k], Expected: expected[k]})
	}
	return counts, nil
}

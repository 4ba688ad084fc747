package ruleset

import (
	"encoding/binary"
	"slices"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// Attributes of nf_tables (linux/netfilter/nf_tables.h), named as there.
const (
	tableName   = 1
	tableFlags  = 2
	tableUse    = 3
	tableHandle = 4
	tablePad    = 5
	tableOwner  = 7

	chainTable    = 1
	chainHandle   = 2
	chainName     = 3
	chainHook     = 4
	chainPolicy   = 5
	chainUse      = 6
	chainType     = 7
	chainPad      = 9
	chainFlags    = 10
	hookNumber    = 1
	hookPriority  = 2
	hookDevice    = 3
	hookDevices   = 4
	deviceName    = 1
	devicePrefix  = 2
	flowtableDevs = 3

	ruleTable       = 1
	ruleChain       = 2
	ruleHandle      = 3
	ruleExpressions = 4
	ruleCompat      = 5
	rulePosition    = 6
	ruleUserdata    = 7
	rulePad         = 8
	compatProtocol  = 1
	compatFlags     = 2

	setTable   = 1
	setName    = 2
	setFlags   = 3
	setKeyType = 4
	setID      = 10
	setPad     = 14
	setHandle  = 16
	setType    = 19
	setCount   = 20

	elementsTable = 1
	elementsSet   = 2
	elementsList  = 3

	objectTable  = 1
	objectName   = 2
	objectType   = 3
	objectUse    = 5
	objectHandle = 6
	objectPad    = 7

	flowtableTable  = 1
	flowtableName   = 2
	flowtableHook   = 3
	flowtableUse    = 4
	flowtableHandle = 5
	flowtablePad    = 6

	generationID = 1

	listElement    = 1
	expressionName = 1
	expressionData = 2
)

// Flags of tables, chains and sets.
const (
	flagDormant   = 1
	flagOwner     = 2
	flagPersist   = 4
	flagOffload   = 2
	flagBound     = 4
	flagAnonymous = 1
	flagInterval  = 4
	flagMap       = 8
	flagObject    = 64
	flagConcat    = 128
)

// expression is one of a rule's, with the attributes that are its own.
type expression struct {
	name string
	data nfnl.Attributes
}

// expressions are those of a rule; what is malformed is left out.
func expressions(rule nfnl.Attributes) []expression {
	var list []expression
	for _, element := range rule.Nested(ruleExpressions) {
		a, err := nfnl.Parse(element.Data)
		if err != nil {
			continue
		}
		list = append(list, expression{a.Text(expressionName), a.Nested(expressionData)})
	}
	return list
}

// references are the names that a rule cannot be without.
type references struct {
	sets, chains, flowtables []string
}

// Where expressions keep the names of what they refer to.
const (
	lookupSet     = 1
	lookupSource  = 2
	dynsetSet     = 1
	objrefSet     = 4
	flowtableOffl = 1
	immediateData = 2
	dataVerdict   = 2
	verdictChain  = 2
	elementData   = 2

	interfaceNameBytes = 16 // IFNAMSIZ
)

func (r Rule) refersTo() references {
	a, err := nfnl.Parse(r.Attributes)
	if err != nil {
		return references{}
	}
	return refer(expressions(a))
}

// refer finds what expressions refer to.
func refer(list []expression) references {
	var r references
	for _, e := range list {
		switch e.name {
		case "lookup":
			r.sets = append(r.sets, e.data.Text(lookupSet))
		case "dynset":
			r.sets = append(r.sets, e.data.Text(dynsetSet))
		case "objref":
			if set := e.data.Text(objrefSet); set != "" {
				r.sets = append(r.sets, set)
			}
		case "flow_offload":
			r.flowtables = append(r.flowtables, e.data.Text(flowtableOffl))
		case "immediate":
			if chain := e.data.Nested(immediateData).Nested(dataVerdict).Text(verdictChain); chain != "" {
				r.chains = append(r.chains, chain)
			}
		}
	}
	return r
}

// comment is that of a rule's user data: a list of types and lengths of one byte
// each, of which type 0 is a comment (libnftnl's udata.h). iptables keeps its
// own in a match.
func comment(rule nfnl.Attributes) string {
	data, _ := rule.Find(ruleUserdata)
	for len(data) >= 2 {
		kind, size := data[0], int(data[1])
		if len(data) < 2+size {
			break
		}
		if kind == 0 {
			return nlenc.String(data[2 : 2+size])
		}
		data = data[2+size:]
	}
	for _, e := range expressions(rule) {
		if e.name == "match" && e.data.Text(matchName) == "comment" {
			info, _ := e.data.Find(matchInfo)
			if end := slices.Index(info, 0); end >= 0 {
				info = info[:end]
			}
			return string(info)
		}
	}
	return ""
}

const (
	matchName = 1
	matchInfo = 3
)

// devices are the interfaces that a hook names.
func devices(hook nfnl.Attributes, list uint16) []string {
	var names []string
	if name := hook.Text(hookDevice); name != "" && list == hookDevices {
		names = append(names, name)
	}
	for _, one := range hook.Nested(list) {
		name := nlenc.String(one.Data)
		if nfnl.Type(one) == devicePrefix {
			name += "*"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// deviceList is the opposite of devices.
func deviceList(names []string) ([]byte, error) {
	var list nfnl.Attributes
	for _, name := range names {
		kind := uint16(deviceName)
		if len(name) > 0 && name[len(name)-1] == '*' {
			kind, name = devicePrefix, name[:len(name)-1]
		}
		list = append(list, netlink.Attribute{Type: kind, Data: append([]byte(name), 0)})
	}
	return list.Encode()
}

// Where the expressions keep what compares a packet's protocol or interface.
const (
	metaRegister = 1
	metaKey      = 2
	cmpRegister  = 1
	cmpOperation = 2
	cmpData      = 3
	dataValue    = 1

	payloadRegister = 1
	payloadBase     = 2
	payloadOffset   = 3
	payloadLength   = 4

	keyIn       = 4
	keyOut      = 5
	keyInName   = 6
	keyOutName  = 7
	keyProtocol = 16
	keyRealIn   = 33 // sdif
	networkBase = 1
	cmpEqual    = 0
	cmpUnequal  = 1
	cmpAtMost   = 3
	cmpAtLeast  = 5
)

// compat is the protocol that iptables-nft told the kernel beside a rule with a
// match or target of its own, and that the kernel checks it against but does
// not give back (nft_parse_compat, net/netfilter/nft_compat.c). It is the one
// that the rule compares the packet's with.
func compat(list []expression, family uint8) (protocol uint32, inverted, needed bool) {
	loaded := map[uint32]bool{}
	for _, e := range list {
		switch e.name {
		case "match", "target":
			needed = true
		case "meta":
			loaded[e.data.Uint32(metaRegister)] = e.data.Uint32(metaKey) == keyProtocol
		case "payload":
			loaded[e.data.Uint32(payloadRegister)] = loadsProtocol(e.data, family)
		case "cmp":
			value, _ := e.data.Nested(cmpData).Find(dataValue)
			if !loaded[e.data.Uint32(cmpRegister)] || len(value) != 1 || protocol != 0 {
				continue
			}
			protocol = uint32(value[0])
			inverted = e.data.Uint32(cmpOperation) == cmpUnequal
		}
	}
	return protocol, inverted, needed && protocol != 0
}

// loadsProtocol says that a payload expression loads the IP header's protocol
// or next header.
func loadsProtocol(payload nfnl.Attributes, family uint8) bool {
	offset := uint32(9)
	if family == nfnl.FamilyIPv6 {
		offset = 6
	}
	return payload.Uint32(payloadBase) == networkBase && payload.Uint32(payloadLength) == 1 &&
		payload.Uint32(payloadOffset) == offset
}

// compatAttribute is what goes into the rule.
func compatAttribute(protocol uint32, inverted bool) ([]byte, error) {
	const inversion = 2 // NFT_RULE_COMPAT_F_INV
	flags := uint32(0)
	if inverted {
		flags = inversion
	}
	return nfnl.Attributes{}.WithUint32(compatProtocol, protocol).WithUint32(compatFlags, flags).Encode()
}

// nativeUint32 reads a number as registers hold it.
func nativeUint32(b []byte) (value uint32, ok bool) {
	if len(b) != 4 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(b), true
}

// zeroEnded is a string as attributes hold it.
func zeroEnded(text string) []byte { return append([]byte(text), 0) }

package nftrace

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// Attributes of a trace message (enum nft_trace_attributes).
const (
	attrTable           = 1
	attrChain           = 2
	attrHandle          = 3
	attrType            = 4
	attrVerdict         = 5
	attrID              = 6
	attrLinkLayer       = 7
	attrNetwork         = 8
	attrTransport       = 9
	attrIn              = 10
	attrInType          = 11
	attrOut             = 12
	attrOutType         = 13
	attrMark            = 14
	attrProtocol        = 15
	attrPolicy          = 16
	attrConntrackID     = 18
	attrConntrackWay    = 19
	attrConntrackStatus = 20
	attrConntrackState  = 21
)

// Attributes of a verdict (enum nft_verdict_attributes).
const (
	attrVerdictCode  = 1
	attrVerdictChain = 2
)

// types are enum nft_trace_types.
var types = map[uint32]Type{1: Policy, 2: Return, 3: Rule}

// Verdicts of the kernel: those of netfilter have more in their upper half
// (linux/netfilter.h), those of nf_tables are negative (enum nft_verdicts).
var (
	netfilterCodes = map[uint32]Code{0: Drop, 1: Accept, 2: Stolen, 3: Queue, 4: Repeat}
	tablesCodes    = map[int32]Code{-1: Continue, -2: Break, -3: Jump, -4: Goto, -5: Returned}
)

// Conntrack states are bits: that of an ip_conntrack_info, of which the reply's
// are left out, above one for invalid (linux/netfilter/nf_conntrack_common.h).
var conntrackStates = map[uint32]string{1: "invalid", 2: "established", 4: "related", 8: "new", 64: "untracked"}

// Decode reads a message of type NFT_MSG_TRACE, without its netlink header.
// Attributes that it does not know are left out.
func Decode(data []byte) (Event, error) {
	e, err := decode(data)
	if err != nil {
		return Event{}, fmt.Errorf("nf_tables trace message: %w", err)
	}
	return e, nil
}

func decode(data []byte) (Event, error) {
	family, body, err := nfnl.Split(data)
	if err != nil {
		return Event{}, err
	}
	a, err := nfnl.Parse(body)
	if err != nil {
		return Event{}, err
	}
	e := Event{
		ID:       a.Uint32(attrID),
		Family:   nfnl.FamilyName(family),
		Table:    a.Text(attrTable),
		Chain:    a.Text(attrChain),
		Type:     types[a.Uint32(attrType)],
		Handle:   a.Uint64(attrHandle),
		Mark:     a.Uint32(attrMark),
		Protocol: nfnl.FamilyName(uint8(a.Uint32(attrProtocol))),
	}
	switch {
	case e.Family == "":
		return Event{}, fmt.Errorf("unknown protocol family %d", family)
	case e.Type == "":
		return Event{}, fmt.Errorf("unknown type %d", a.Uint32(attrType))
	case e.Table == "" || e.Chain == "":
		return Event{}, errors.New("names no table or chain")
	}
	if e.Type == Rule && e.Handle == 0 {
		// So the kernel reports the end of a chain: there is no rule any more.
		e.Type = Return
	}
	if e.Type == Policy {
		e.Verdict, err = verdict(a.Uint32(attrPolicy))
	} else {
		nested := a.Nested(attrVerdict)
		e.Verdict, err = verdict(nested.Uint32(attrVerdictCode))
		e.Verdict.Chain = nested.Text(attrVerdictChain)
	}
	if err != nil {
		return Event{}, err
	}
	e.Conntrack = conntrack(a)
	e.Head = head(a, e.Protocol)
	return e, nil
}

func verdict(number uint32) (Verdict, error) {
	if code, known := tablesCodes[int32(number)]; known {
		return Verdict{Code: code}, nil
	}
	code, known := netfilterCodes[number&0xff]
	if !known || int32(number) < 0 && code != Drop && code != Queue {
		return Verdict{}, fmt.Errorf("unknown verdict %#x", number)
	}
	v := Verdict{Code: code}
	if code == Queue {
		v.Queue = uint16(number >> 16)
	}
	return v, nil
}

func conntrack(a nfnl.Attributes) *Conntrack {
	state := conntrackStates[a.Uint32(attrConntrackState)]
	if state == "" {
		return nil
	}
	way, _ := a.Find(attrConntrackWay)
	return &Conntrack{
		State:  state,
		ID:     a.Uint32(attrConntrackID),
		Reply:  len(way) == 1 && way[0] == 1,
		Status: a.Uint32(attrConntrackStatus),
	}
}

// head is nil where the message brings nothing of the packet.
func head(a nfnl.Attributes, protocol string) *Head {
	network, found := a.Find(attrNetwork)
	if !found {
		return nil
	}
	h := &Head{
		In:      device(a, attrIn, attrInType),
		Out:     device(a, attrOut, attrOutType),
		Network: network,
	}
	h.LinkLayer, _ = a.Find(attrLinkLayer)
	h.Transport, _ = a.Find(attrTransport)
	h.Packet = parseHeaders(protocol, h.Network, h.Transport)
	return h
}

func device(a nfnl.Attributes, index, kind uint16) *Interface {
	if _, found := a.Find(index); !found {
		return nil
	}
	i := &Interface{Index: a.Uint32(index)}
	if data, _ := a.Find(kind); len(data) == 2 {
		i.Type = binary.BigEndian.Uint16(data)
	}
	return i
}

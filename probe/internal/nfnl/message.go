package nfnl

import (
	"errors"

	"github.com/mdlayher/netlink"
)

// SubsystemTables is nf_tables among the subsystems of nfnetlink, in the upper
// byte of a message's type (NFNL_SUBSYS_NFTABLES).
const SubsystemTables = 10

// Messages of nf_tables, in the lower byte (enum nf_tables_msg_types).
const (
	NewTable = iota
	GetTable
	DelTable
	NewChain
	GetChain
	DelChain
	NewRule
	GetRule
	DelRule
	NewSet
	GetSet
	DelSet
	NewElement
	GetElement
	DelElement
	NewGeneration
	GetGeneration
	Trace
	NewObject
	GetObject
	DelObject
	GetObjectReset
	NewFlowtable
	GetFlowtable
	DelFlowtable
)

// Protocol families of netfilter (NFPROTO_*).
const (
	FamilyAny    = 0
	FamilyInet   = 1
	FamilyIPv4   = 2
	FamilyARP    = 3
	FamilyNetdev = 5
	FamilyBridge = 7
	FamilyIPv6   = 10
)

var familyNames = map[uint8]string{
	FamilyInet:   "inet",
	FamilyIPv4:   "ip",
	FamilyARP:    "arp",
	FamilyNetdev: "netdev",
	FamilyBridge: "bridge",
	FamilyIPv6:   "ip6",
}

// FamilyName is how nft(8) writes a family; "" where it knows none of that
// number.
func FamilyName(number uint8) string { return familyNames[number] }

// FamilyNumber is the opposite of FamilyName.
func FamilyNumber(name string) (number uint8, known bool) {
	for number, n := range familyNames {
		if n == name {
			return number, true
		}
	}
	return 0, false
}

// headerLength is that of struct nfgenmsg, which begins every message.
const headerLength = 4

// Message is one message of nf_tables.
type Message struct {
	// Type is one of the messages above.
	Type       uint8
	Flags      netlink.HeaderFlags
	Family     uint8
	Attributes []byte
}

// Size is what the message takes up in a transaction, in bytes.
func (m Message) Size() int {
	const netlinkHeader, alignment = 16, 4
	return netlinkHeader + headerLength + (len(m.Attributes)+alignment-1)/alignment*alignment
}

var errShort = errors.New("shorter than its header")

// Split takes the header off a message's data.
func Split(data []byte) (family uint8, attributes []byte, err error) {
	if len(data) < headerLength {
		return 0, nil, errShort
	}
	return data[0], data[headerLength:], nil
}

func (m Message) netlink() netlink.Message {
	return netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(SubsystemTables<<8 | uint16(m.Type)),
			Flags: netlink.Request | m.Flags,
		},
		// The version, and a resource ID that nf_tables does not use, are 0.
		Data: append([]byte{m.Family, 0, 0, 0}, m.Attributes...),
	}
}

// Package nfnl carries messages between this process and nf_tables, over
// nfnetlink (linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h): lists,
// transactions, and attributes that are passed on as they came, so that what
// a newer kernel adds to them is kept.
package nfnl

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
)

// typeMask leaves out the two flags in an attribute's type (netlink(7)).
const typeMask = ^uint16(netlink.Nested | netlink.NetByteOrder)

// Attributes are those of one message or of one nested attribute, in order.
type Attributes []netlink.Attribute

// Parse takes attributes apart.
func Parse(b []byte) (Attributes, error) {
	list, err := netlink.UnmarshalAttributes(b)
	if err != nil {
		return nil, fmt.Errorf("netlink attributes: %w", err)
	}
	return list, nil
}

// Encode is the opposite of Parse. An attribute longer than 65,531 bytes makes
// it fail.
func (a Attributes) Encode() ([]byte, error) {
	for _, one := range a {
		if len(one.Data) > MaxData {
			return nil, fmt.Errorf("netlink attribute %d: %d bytes, more than %d", Type(one), len(one.Data), MaxData)
		}
	}
	b, err := netlink.MarshalAttributes(a)
	if err != nil {
		return nil, fmt.Errorf("netlink attributes: %w", err)
	}
	return b, nil
}

// MaxData is the most that one attribute holds: its length has 16 bits, and its
// header is counted in.
const MaxData = 1<<16 - 1 - 4

// Type is an attribute's type without the flags.
func Type(a netlink.Attribute) uint16 { return a.Type & typeMask }

// Find returns the value of the first attribute of a type.
func (a Attributes) Find(t uint16) (data []byte, found bool) {
	for _, one := range a {
		if Type(one) == t {
			return one.Data, true
		}
	}
	return nil, false
}

// Text is an attribute that is a string; "" where there is none.
func (a Attributes) Text(t uint16) string {
	data, _ := a.Find(t)
	return nlenc.String(data)
}

// Uint32 is an attribute that is a number of 32 bits in network byte order, as
// all numbers of nf_tables are; 0 where there is none.
func (a Attributes) Uint32(t uint16) uint32 {
	if data, _ := a.Find(t); len(data) == 4 {
		return binary.BigEndian.Uint32(data)
	}
	return 0
}

// Uint64 is like Uint32.
func (a Attributes) Uint64(t uint16) uint64 {
	if data, _ := a.Find(t); len(data) == 8 {
		return binary.BigEndian.Uint64(data)
	}
	return 0
}

// Nested are the attributes within an attribute; none where it is missing or
// malformed.
func (a Attributes) Nested(t uint16) Attributes {
	data, _ := a.Find(t)
	list, err := Parse(data)
	if err != nil {
		return nil
	}
	return list
}

// Without is a copy without the attributes of some types.
func (a Attributes) Without(types ...uint16) Attributes {
	return slices.DeleteFunc(slices.Clone(a), func(one netlink.Attribute) bool {
		return slices.Contains(types, Type(one))
	})
}

// With is a copy in which an attribute is replaced, or added at the end. The
// flags of the one that it replaces are kept.
func (a Attributes) With(t uint16, data []byte) Attributes {
	a = slices.Clone(a)
	for i := range a {
		if Type(a[i]) == t {
			a[i] = netlink.Attribute{Type: a[i].Type, Data: data}
			return a
		}
	}
	return append(a, netlink.Attribute{Type: t, Data: data})
}

// WithUint32 is With for a number in network byte order.
func (a Attributes) WithUint32(t uint16, value uint32) Attributes {
	return a.With(t, binary.BigEndian.AppendUint32(nil, value))
}

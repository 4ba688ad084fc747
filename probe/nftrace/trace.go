package nftrace

// Trace is what a reader has read.
type Trace struct {
	// Packets are in the order in which they were first seen.
	Packets []Packet `json:"packets,omitempty"`
	// Events are the messages as they came, those of the marking chains too.
	Events []Event `json:"events,omitempty"`
	// Losses is how often the kernel said that it had no room for messages
	// (ENOBUFS, netlink(7)). How many it dropped it does not say; packets may
	// be missing steps then.
	Losses int `json:"losses,omitempty"`
	// Undecoded says of messages why they could not be decoded.
	Undecoded []string `json:"undecoded,omitempty"`
}

// Find returns the first packet that has a property.
func (t *Trace) Find(has func(Packet) bool) (p Packet, found bool) {
	for _, p := range t.Packets {
		if has(p) {
			return p, true
		}
	}
	return Packet{}, false
}

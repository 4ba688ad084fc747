package freeport

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// Settings that decide which ports are to be had (ip-sysctl).
const (
	reservedSetting  = "net.ipv4.ip_local_reserved_ports"
	ephemeralSetting = "net.ipv4.ip_local_port_range"
	lowSetting       = "net.ipv4.ip_unprivileged_port_start"
)

// rules is which ports are for whom.
type rules struct{ reserved, ephemeral portset.Set }

func readRules() (rules, error) {
	var r rules
	reserved, err := sysctl.Read(reservedSetting)
	if err != nil {
		return r, err
	}
	if reserved != "" {
		if r.reserved, err = portset.Parse(reserved); err != nil {
			return r, fmt.Errorf("%s: %w", reservedSetting, err)
		}
	}
	ephemeral, err := sysctl.Read(ephemeralSetting)
	if err != nil {
		return r, err
	}
	r.ephemeral, err = portset.Parse(strings.Join(strings.Fields(ephemeral), "-"))
	if err != nil {
		return r, fmt.Errorf("%s: %w", ephemeralSetting, err)
	}
	return r, nil
}

// order returns the ports to try, by preference and then at random.
func (f *finder) order() [][]uint16 {
	all := f.options.Ports
	if all.Len() > 0 {
		return [][]uint16{shuffled(all.Without(f.rules.reserved))}
	}
	usable := portset.Of(portset.User, portset.Dynamic).Without(f.rules.reserved)
	outside := usable.Without(f.rules.ephemeral)
	dynamic := outside.Within(portset.Dynamic)
	return [][]uint16{shuffled(dynamic), shuffled(outside.Without(dynamic)), shuffled(usable.Without(outside))}
}

func shuffled(ports portset.Set) []uint16 {
	list := make([]uint16, 0, ports.Len())
	for port := range ports.All() {
		list = append(list, port)
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func (f *finder) searched() portset.Set {
	if f.options.Ports.Len() > 0 {
		return f.options.Ports
	}
	return portset.Of(portset.User, portset.Dynamic)
}

// lowText is the setting that keeps low ports from ordinary users.
func lowText() string {
	value, err := sysctl.Read(lowSetting)
	if err != nil {
		return lowSetting
	}
	return lowSetting + " (" + value + ")"
}

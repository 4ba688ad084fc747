package containers

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/loopcheck/loopcheck/probe/nftrace"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// explain looks for what made the reply to a question another than was wanted: a
// setting of the host that is not as it was set, and the rule that drops the
// packet, in whichever zone. It finds nothing where neither is the reason.
func (p plan) explain(ctx context.Context, in *sandbox.Inside, q question, set map[string]string) (found []string) {
	expected := map[string]string{"net.ipv4.ip_forward": "1", bridgeCallIPv4: "0"}
	for name, value := range usual {
		for _, of := range []string{"all", uplink, "docker0"} {
			expected["net.ipv4.conf."+of+"."+name] = value
		}
	}
	maps.Copy(expected, set)
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		if value, err := sysctl.Read(name); err == nil && value != expected[name] {
			found = append(found, fmt.Sprintf("%s of the host is %s, and was set to %s", name, value, expected[name]))
		}
	}
	for _, zone := range append([]string{host}, p.Zones...) {
		var rule string
		err := in.Do(zone, func() (err error) {
			rule, err = dropping(ctx, in, q)
			return err
		})
		if err == nil && rule != "" {
			return append(found, fmt.Sprintf("in the network namespace %s, %s", zone, rule))
		}
	}
	return found
}

// dropping asks again with the calling thread's network namespace traced, and says
// which rule drops a packet there.
func dropping(ctx context.Context, in *sandbox.Inside, q question) (string, error) {
	reader, err := nftrace.Open()
	if err != nil {
		return "", err
	}
	defer reader.Close()
	marking, err := nftrace.Mark()
	if err != nil {
		return "", err
	}
	defer marking.Close()
	// What is dropped is silent for as long as it is waited for.
	q.Want.End, q.Flow = silent, ""
	if _, err := q.ask(ctx, in, nil); err != nil {
		return "", err
	}
	trace, err := reader.Pending()
	if err != nil {
		return "", err
	}
	for _, packet := range trace.Packets {
		by, dropped := packet.Dropped()
		if !dropped {
			continue
		}
		rules, err := ruleset.Read(ctx)
		if err != nil {
			return "", err
		}
		if _, rule, known := rules.Find(by.Family, by.Table, by.Handle); known && by.Handle != 0 {
			return fmt.Sprintf("the rule `%s` of the chain %s drops a packet", rule.Text, by.Named()), nil
		}
		return fmt.Sprintf("%s drops a packet", by), nil
	}
	return "", nil
}

package diagnose

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

const pingGroups = "net.ipv4.ping_group_range"

// readRights and readSetting are variables so that tests can show machines
// that this one is not.
var (
	readRights  = process.Read
	readSetting = sysctl.Read
)

// pingPrivileges finds why this process may not send ICMP: neither is one of
// its groups in the range that may open ping sockets (icmp(7)), nor has it
// CAP_NET_RAW (raw(7)).
func pingPrivileges(_ context.Context, s Symptom) Diagnosis {
	if !strings.Contains(s.Missing, "CAP_NET_RAW") {
		return Diagnosis{}
	}
	rights, err := readRights()
	if err != nil || rights.Effective.Has(process.NetRaw) {
		return Diagnosis{}
	}
	id := "raw-socket-privileges"
	either := strings.Contains(s.Missing, "ping socket")
	if either {
		id = "ping-privileges"
	}
	cause := Cause{
		ID:       id,
		Summary:  fmt.Sprintf("User %d may not open raw sockets.", rights.UID),
		Evidence: []string{"effective capabilities: " + list(rights.Effective.Names())},
	}
	remedy := Remedy{Command: "setcap cap_net_raw+ep $(command -v loopcheck)", Cause: id}
	if either {
		value, err := readSetting(pingGroups)
		if err != nil || inGroupRange(value, append(rights.Groups, rights.GID)) {
			return Diagnosis{}
		}
		cause.Summary = fmt.Sprintf("User %d may open neither ping sockets nor raw sockets.", rights.UID)
		cause.Evidence = append(cause.Evidence, fmt.Sprintf("%s is %q, and the groups of this process are %s",
			pingGroups, strings.Join(strings.Fields(value), " "), groups(rights)))
		remedy.Command = "sysctl -w " + pingGroups + "='0 2147483647'"
		remedy.Note = "this lets every user ping; a range such as '1000 1000' lets one group"
	}
	if !rights.Bounding.Has(process.NetRaw) {
		// Not even root's programs get it in here.
		cause.Evidence = append(cause.Evidence, "CAP_NET_RAW is not in the bounding set either, as in a container that drops it")
		if !either {
			remedy = Remedy{Command: "docker run --cap-add NET_RAW", Cause: id, Note: "this starts the container anew; other runtimes have an option of their own"}
		}
	}
	return found(Finding{Cause: cause, Remedies: []Remedy{remedy}})
}

// inGroupRange says whether one of the groups is in a range as the setting has
// it: its first and last group.
func inGroupRange(value string, groups []int) bool {
	fields := strings.Fields(value)
	if len(fields) != 2 {
		return false
	}
	first, firstErr := strconv.Atoi(fields[0])
	last, lastErr := strconv.Atoi(fields[1])
	return firstErr == nil && lastErr == nil &&
		slices.ContainsFunc(groups, func(g int) bool { return first <= g && g <= last })
}

func groups(rights process.Status) string {
	names := []string{strconv.Itoa(rights.GID)}
	for _, g := range rights.Groups {
		if name := strconv.Itoa(g); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// list joins what was read, or says that there was nothing.
func list(items []string) string {
	if len(items) == 0 {
		return "none"
	}
	return strings.Join(items, ", ")
}

package leftovers

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// nftables lists the ruleset of the network namespace with nft, if it is
// installed. Otherwise it records the number of the ruleset's generation,
// which the kernel raises at every change.
func nftables(ctx context.Context) area {
	nft, err := findTool("nft")
	if err != nil {
		return nftGeneration()
	}
	listing, err := output(ctx, nft, "-j", "list", "ruleset")
	if err != nil {
		return blindArea(err.Error())
	}
	a, err := parseRuleset(listing)
	if err != nil {
		return blindArea(fmt.Sprintf("parse the ruleset nft lists: %v", err))
	}
	return a
}

// parseRuleset reads the JSON of libnftables-json(5).
func parseRuleset(listing []byte) (area, error) {
	decoder := json.NewDecoder(bytes.NewReader(listing))
	decoder.UseNumber()
	var ruleset struct {
		Objects []map[string]any `json:"nftables"`
	}
	if err := decoder.Decode(&ruleset); err != nil {
		return area{}, err
	}
	a := newArea()
	for _, object := range ruleset.Objects {
		for kind, content := range object {
			if kind == "metainfo" {
				continue
			}
			content = still(content)
			text, err := json.Marshal(content)
			if err != nil {
				return area{}, err
			}
			a.add(kind+" "+string(text), entry{name: objectName(kind, content, text), lasting: true})
		}
	}
	return a, nil
}

// movingFields are the fields of a ruleset that packets change: the values of
// counters and quotas, and what is left of a timeout.
var movingFields = []string{"packets", "bytes", "used", "expires"}

// still takes out of a part of a ruleset what packets change, so that a rule
// that counted one more is the same rule.
func still(part any) any {
	switch part := part.(type) {
	case []any:
		for i := range part {
			part[i] = still(part[i])
		}
	case map[string]any:
		if flags, ok := part["flags"].([]any); ok && (slices.Contains(flags, any("dynamic")) || slices.Contains(flags, any("timeout"))) {
			// Packets and time add and remove the elements of such a set.
			delete(part, "elem")
		}
		for name, value := range part {
			if _, isNumber := value.(json.Number); isNumber && slices.Contains(movingFields, name) {
				delete(part, name)
				continue
			}
			part[name] = still(value)
		}
	}
	return part
}

// maxRuleText bounds what is shown of an object of a ruleset, in bytes.
const maxRuleText = 300

func objectName(kind string, content any, text []byte) string {
	name := kind
	fields, _ := content.(map[string]any)
	for _, field := range []string{"family", "table", "chain", "name"} {
		if value, ok := fields[field].(string); ok {
			name += " " + value
		}
	}
	return fmt.Sprintf("%s: %s", name, text[:min(len(text), maxRuleText)])
}

const (
	nftGetGeneration = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN
	kindGenerationID = 1 // NFTA_GEN_ID, linux/netfilter/nf_tables.h
)

func nftGeneration() area {
	head := make([]byte, 4) // struct nfgenmsg: any family, version 0
	messages, err := netlinkAsk(unix.NETLINK_NETFILTER, nftGetGeneration, head, false)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return newArea() // a kernel without nftables has no rules in it
	}
	if err != nil {
		return blindArea(fmt.Sprintf("nft is not installed, and asking the kernel failed: %v", err))
	}
	a := newArea()
	for _, m := range messages {
		if len(m.Data) < len(head) {
			continue
		}
		for _, attr := range attributes(m.Data[len(head):]) {
			if attr.kind == kindGenerationID && len(attr.value) == 4 {
				a.add("generation", entry{
					name:    "generation of the ruleset",
					value:   fmt.Sprint(binary.BigEndian.Uint32(attr.value)),
					lasting: true,
				})
			}
		}
	}
	return a
}

// legacyTables are the families of the legacy tables. The names of a family's
// tables are in a file that is there once its module is loaded.
var legacyTables = []struct {
	family, names string
	tools         []string
}{
	{"ip", "ip_tables_names", []string{"iptables-legacy-save", "iptables-save"}},
	{"ip6", "ip6_tables_names", []string{"ip6tables-legacy-save", "ip6tables-save"}},
	{"arp", "arp_tables_names", nil}, // there is no tool that saves them all: names only
}

// iptables lists the tables of x_tables, which nftables does not show. A tool
// is asked only where a table is known to exist: it would load one otherwise.
func iptables(ctx context.Context) area {
	a := newArea()
	for _, legacy := range legacyTables {
		names, err := os.ReadFile("/proc/thread-self/net/" + legacy.names)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			a.note("%v", err)
			continue
		}
		tables := strings.Fields(string(names))
		for _, table := range tables {
			name := legacy.family + " table " + table
			a.add(name, entry{name: name, lasting: true})
		}
		if len(tables) == 0 {
			continue
		}
		if err := legacyRules(ctx, &a, legacy.family, legacy.tools); err != nil {
			a.note("rules of the %s tables %s: %v", legacy.family, strings.Join(tables, ", "), err)
		}
	}
	return a
}

func legacyRules(ctx context.Context, a *area, family string, tools []string) error {
	missing := errors.New("no tool that lists them is installed")
	for _, name := range tools {
		tool, err := findTool(name)
		if err != nil {
			continue
		}
		if version, err := output(ctx, tool, "--version"); err != nil || bytes.Contains(version, []byte("nf_tables")) {
			missing = errors.New("the installed " + name + " lists nftables")
			continue
		}
		listing, err := output(ctx, tool)
		if err != nil {
			return err
		}
		parseLegacyRules(a, family, listing)
		return nil
	}
	return missing
}

var chainCounters = regexp.MustCompile(` \[\d+:\d+\]$`)

// parseLegacyRules reads what iptables-save(8) prints: a line for each table,
// chain and rule, with counters behind the chains and dates in comments.
func parseLegacyRules(a *area, family string, listing []byte) {
	table := ""
	scanner := bufio.NewScanner(bytes.NewReader(listing))
	scanner.Buffer(nil, len(listing)+1)
	for scanner.Scan() {
		line := scanner.Text()
		switch {
		case line == "" || line == "COMMIT" || line[0] == '#':
		case line[0] == '*':
			table = line[1:]
		default:
			name := fmt.Sprintf("%s table %s: %s", family, table, chainCounters.ReplaceAllString(line, ""))
			a.add(name, entry{name: name, lasting: true})
		}
	}
}

// findTool looks a tool up in the search path and where root's tools are, which
// is not in the search path of ordinary users everywhere.
func findTool(name string) (string, error) {
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

func output(ctx context.Context, tool string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(append([]string{tool}, args...), " "), err, cmp.Or(first, "no message"))
	}
	return out, nil
}

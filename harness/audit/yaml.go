package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/loopcheck/loopcheck/probe/portset"
)

// maxListBytes bounds what Read takes into memory. A rule takes about a hundred
// bytes.
const maxListBytes = 1 << 20

// ReadFile reads an allow-list. The error is one line that names the file, the
// line and what to write.
func ReadFile(path string) (*AllowList, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxListBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(content) > maxListBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes: is it an allow-list?", path, maxListBytes)
	}
	return Parse(path, content)
}

// Parse reads an allow-list from YAML:
//
//	listeners:
//	  - port: 22
//	    protocol: tcp
//	    address: every
//	    process: sshd
//
// Path stands in the errors.
func Parse(path string, content []byte) (*AllowList, error) {
	p := parser{path: path}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it is empty: write `listeners:` and a rule for each, or `listeners: []` where nothing may listen", path)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %s", path, oneLine(strings.TrimPrefix(err.Error(), "yaml: ")))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: holds more than one document: write one", path)
	}
	fields, err := p.mapping(document.Content[0], "the list", "listeners")
	if err != nil {
		return nil, err
	}
	node, ok := fields["listeners"]
	if !ok {
		return nil, p.fault(document.Content[0], "`listeners:` is missing")
	}
	if node.Kind != yaml.SequenceNode {
		return nil, p.fault(node, "listeners: write a list of rules, each beginning with `- port:`")
	}
	a := &AllowList{Path: path}
	for _, item := range node.Content {
		rule, err := p.rule(item)
		if err != nil {
			return nil, err
		}
		for _, other := range a.Rules {
			if other.String() == rule.String() {
				return nil, p.fault(item, "the rule for %s stands in line %d already: leave one out", rule, other.Line)
			}
		}
		a.Rules = append(a.Rules, rule)
	}
	return a, nil
}

type parser struct{ path string }

func (p parser) fault(node *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", p.path, node.Line, oneLine(fmt.Sprintf(format, args...)))
}

// oneLine keeps what stands in the file from breaking the line of an error.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", " ") }

// ruleKeys are the keys of a rule, in the order they are written in.
var ruleKeys = []string{"port", "protocol", "address", "interface", "process", "unit", "optional", "reason"}

func (p parser) rule(node *yaml.Node) (Rule, error) {
	fields, err := p.mapping(node, "a rule", ruleKeys...)
	if err != nil {
		return Rule{}, err
	}
	r := Rule{Line: node.Line}
	for _, key := range ruleKeys {
		value, ok := fields[key]
		if !ok {
			continue
		}
		if value.Kind != yaml.ScalarNode || value.Tag == "!!null" || value.Value == "" {
			return Rule{}, p.fault(value, "%s: write one value", key)
		}
		if err := r.set(key, value.Value); err != nil {
			return Rule{}, p.fault(value, "%s: %v", key, err)
		}
	}
	for _, key := range []string{"port", "protocol", "address"} {
		if _, ok := fields[key]; !ok {
			return Rule{}, p.fault(node, "%q is missing: %s", key, expected[key])
		}
	}
	return r, nil
}

// expected says what to write for a key.
var expected = map[string]string{
	"port":     "write a port such as 22, or ports such as 8000-8010,9000",
	"protocol": "write tcp or udp",
	"address":  "write every (all interfaces), loopback, or an address of this machine",
	"optional": "write true or false",
}

func (r *Rule) set(key, value string) error {
	switch key {
	case "port":
		ports, err := portset.Parse(value)
		r.Ports = ports
		return err
	case "protocol":
		r.Protocol = value
		if value != "tcp" && value != "udp" {
			return fmt.Errorf("%q: %s", value, expected[key])
		}
	case "address":
		r.Address = value
		if addr, err := netip.ParseAddr(value); err == nil {
			r.Address = addr.Unmap().String()
		} else if value != Anywhere && value != OnLoopback {
			return fmt.Errorf("%q: %s", value, expected[key])
		}
	case "optional":
		r.Optional = value == "true"
		if value != "true" && value != "false" {
			return fmt.Errorf("%q: %s", value, expected[key])
		}
	case "interface":
		r.Interface = value
	case "process":
		r.Process = value
	case "unit":
		r.Unit = value
	case "reason":
		r.Reason = value
	}
	return nil
}

// mapping returns the values of a mapping whose keys have to be known.
func (p parser) mapping(node *yaml.Node, what string, known ...string) (map[string]*yaml.Node, error) {
	if node.Kind != yaml.MappingNode {
		return nil, p.fault(node, "expected %s as `key: value` lines with %s", what, strings.Join(known, ", "))
	}
	fields := map[string]*yaml.Node{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if !slices.Contains(known, key.Value) {
			return nil, p.fault(key, "unknown key %q: write one of %s", key.Value, strings.Join(known, ", "))
		}
		if _, twice := fields[key.Value]; twice {
			return nil, p.fault(key, "%q is set twice", key.Value)
		}
		if value.Kind == yaml.AliasNode {
			return nil, p.fault(value, "%s: write the value itself, not an alias", key.Value)
		}
		fields[key.Value] = value
	}
	return fields, nil
}

// Write writes the list as YAML that Parse reads.
func (a *AllowList) Write(w io.Writer) error {
	document := yaml.Node{Kind: yaml.MappingNode}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, r := range a.Rules {
		list.Content = append(list.Content, r.node())
	}
	if len(a.Rules) == 0 {
		list.Style = yaml.FlowStyle
	}
	document.Content = []*yaml.Node{text("listeners"), list}
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(&document), encoder.Close()); err != nil {
		return fmt.Errorf("write the allow-list: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// YAML is the rule as it stands in a list, for a person to paste.
func (r Rule) YAML() string {
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	// A tree of plain text that was made here has no way to fail.
	_ = encoder.Encode(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{r.node()}})
	return "  " + strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\n", "\n  ")
}

func (r Rule) node() *yaml.Node {
	node := &yaml.Node{Kind: yaml.MappingNode}
	ports := text(r.Ports.String())
	if r.Ports.Len() == 1 {
		ports.Tag = "!!int"
	}
	add := func(key string, value *yaml.Node) {
		if value.Value != "" {
			node.Content = append(node.Content, text(key), value)
		}
	}
	add("port", ports)
	add("protocol", text(r.Protocol))
	add("address", text(r.Address))
	add("interface", text(r.Interface))
	add("process", text(r.Process))
	add("unit", text(r.Unit))
	if r.Optional {
		add("optional", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	}
	add("reason", text(r.Reason))
	return node
}

func text(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
}

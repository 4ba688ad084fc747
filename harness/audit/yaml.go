package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/userfile"
)

// ReadFile reads an allow-list. The error is one line that names the file, the
// line and what to write.
func ReadFile(path string) (*AllowList, error) {
	content, err := userfile.Read(path, "an allow-list")
	if err != nil {
		return nil, err
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
	root, err := userfile.Parse(path, content, "write `listeners:` and a rule for each, or `listeners: []` where nothing may listen")
	if err != nil {
		return nil, err
	}
	fields, err := root.Mapping("the list", "listeners")
	if err != nil {
		return nil, err
	}
	node, ok := fields["listeners"]
	if !ok {
		return nil, root.Fault("`listeners:` is missing")
	}
	if !node.IsList() {
		return nil, node.Fault("listeners: write a list of rules, each beginning with `- port:`")
	}
	a := &AllowList{Path: path}
	for _, item := range node.Items() {
		rule, err := parseRule(item)
		if err != nil {
			return nil, err
		}
		for _, other := range a.Rules {
			if other.String() == rule.String() {
				return nil, item.Fault("the rule for %s stands in line %d already: leave one out", rule, other.Line)
			}
		}
		a.Rules = append(a.Rules, rule)
	}
	return a, nil
}

// ruleKeys are the keys of a rule, in the order they are written in.
var ruleKeys = []string{"port", "protocol", "address", "interface", "process", "unit", "optional", "reason"}

func parseRule(node userfile.Node) (Rule, error) {
	fields, err := node.Mapping("a rule", ruleKeys...)
	if err != nil {
		return Rule{}, err
	}
	r := Rule{Line: node.Line()}
	for _, key := range ruleKeys {
		value, ok := fields[key]
		if !ok {
			continue
		}
		text, err := value.Text(key)
		if err != nil {
			return Rule{}, err
		}
		if err := r.set(key, text); err != nil {
			return Rule{}, value.Fault("%s: %v", key, err)
		}
	}
	for _, key := range []string{"port", "protocol", "address"} {
		if _, ok := fields[key]; !ok {
			return Rule{}, node.Fault("%q is missing: %s", key, expected[key])
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

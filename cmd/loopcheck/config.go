package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// maxConfigBytes is far above any configuration written by hand.
const maxConfigBytes = 1 << 20

// applyConfiguration gives the flags that were not on the command line their
// values from the environment, or else from the configuration file.
func applyConfiguration(cmd *cobra.Command) error {
	config := &configuration{values: map[*pflag.Flag]*yaml.Node{}}
	if path := configPath(cmd); path != "" {
		if err := config.read(path, cmd.Root()); err != nil {
			return err
		}
	}
	var firstErr error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || firstErr != nil || f.Name == "help" {
			return
		}
		if value, ok := os.LookupEnv(variable(f)); ok {
			if err := f.Value.Set(value); err != nil {
				firstErr = fmt.Errorf("%s: %s", variable(f), misfit(f, value))
			}
		} else if node, ok := config.values[f]; ok {
			firstErr = config.set(f, node)
		}
	})
	return firstErr
}

// mayBeEmpty are the flags of which an empty value says something: no file, every
// check, no command.
var mayBeEmpty = []string{"config", "out", "label-filter", "a-setup", "a-undo", "b-setup", "b-undo"}

// refuseEmpty refuses flags that are given and say nothing, as a script's variable
// that is not set: what they were to ask for would silently not be asked.
func refuseEmpty(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && f.DefValue == "" && !slices.Contains(mayBeEmpty, f.Name) && err == nil {
			what, _ := pflag.UnquoteUsage(f)
			err = fmt.Errorf("--%s is empty: write its %s, or leave the flag out", f.Name, what)
		}
	})
	return err
}

// withValues are arguments with what a report shows in the place of a flag's values.
func withValues(args []string, flag string, shown func(value string) string) []string {
	all := slices.Clone(args)
	for i, arg := range all {
		if value, joined := strings.CutPrefix(arg, flag+"="); joined {
			all[i] = flag + "=" + shown(value)
		} else if i > 0 && args[i-1] == flag {
			all[i] = shown(arg)
		}
	}
	return all
}

func configPath(cmd *cobra.Command) string {
	f := cmd.Flags().Lookup("config")
	if !f.Changed {
		if path, ok := os.LookupEnv(variable(f)); ok {
			return path
		}
	}
	return f.Value.String()
}

// variable is the name of a flag's environment variable.
func variable(f *pflag.Flag) string {
	return "LOOPCHECK_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// configuration is what a file sets: flags, by the command they belong to.
type configuration struct {
	path   string
	values map[*pflag.Flag]*yaml.Node
}

func (c *configuration) read(path string, root *cobra.Command) error {
	c.path = path
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read --config: %w", err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return fmt.Errorf("read --config: %w", err)
	}
	if len(content) > maxConfigBytes {
		return fmt.Errorf("%s: larger than %d bytes: is it a configuration file?", path, maxConfigBytes)
	}
	return c.parse(content, root)
}

func (c *configuration) parse(content []byte, root *cobra.Command) error {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return fmt.Errorf("%s: %s", c.path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: holds more than one document: write one", c.path)
	}
	return c.collect(document.Content[0], root)
}

// collect takes the settings of one command: its flags, and below the names of
// its subcommands theirs.
func (c *configuration) collect(node *yaml.Node, cmd *cobra.Command) error {
	if node.Kind != yaml.MappingNode {
		if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
			return nil
		}
		return c.fault(node, "expected the settings of %s as `name: value` lines", cmd.CommandPath())
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if seen[key.Value] {
			return c.fault(key, "%q is set twice", key.Value)
		}
		seen[key.Value] = true
		if err := c.take(key, value, cmd); err != nil {
			return err
		}
	}
	return nil
}

func (c *configuration) take(key, value *yaml.Node, cmd *cobra.Command) error {
	// Subcommands inherit a persistent flag as the same object.
	f := cmd.LocalFlags().Lookup(key.Value)
	if f != nil && f.Name != "config" && f.Name != "help" && f.Name != "version" {
		if value.Kind == yaml.MappingNode || value.Kind == yaml.AliasNode || value.Tag == "!!null" {
			return c.fault(value, "%q takes a value or a list", key.Value)
		}
		c.values[f] = value
		return nil
	}
	for _, sub := range cmd.Commands() {
		if sub.Name() == key.Value && configurable(sub) {
			return c.collect(value, sub)
		}
	}
	return c.fault(key, "unknown key %q: write one of %s", key.Value, strings.Join(known(cmd), ", "))
}

// configurable tells the commands that a file may hold settings for.
func configurable(cmd *cobra.Command) bool {
	return cmd.IsAvailableCommand() && cmd.Name() != "completion" && cmd.Name() != "help" && len(known(cmd)) > 0
}

func known(cmd *cobra.Command) []string {
	var keys []string
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "config" && f.Name != "help" && f.Name != "version" {
			keys = append(keys, f.Name)
		}
	})
	for _, sub := range cmd.Commands() {
		if configurable(sub) {
			keys = append(keys, sub.Name())
		}
	}
	slices.Sort(keys)
	return keys
}

func (c *configuration) set(f *pflag.Flag, node *yaml.Node) error {
	var items []string
	switch node.Kind {
	case yaml.ScalarNode:
		items = []string{node.Value}
	case yaml.SequenceNode:
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return c.fault(item, "%q takes a list of plain values", f.Name)
			}
			items = append(items, item.Value)
		}
	}
	slice, isList := f.Value.(pflag.SliceValue)
	var err error
	switch {
	case isList && node.Kind == yaml.SequenceNode:
		err = slice.Replace(items)
	case node.Kind == yaml.SequenceNode:
		return c.fault(node, "%q takes one value, not a list", f.Name)
	default:
		err = f.Value.Set(node.Value)
	}
	if err != nil {
		return c.fault(node, "%s: %s", f.Name, misfit(f, node.Value))
	}
	return nil
}

// misfit says which values a flag takes. What pflag says of one names the
// function that parses it.
func misfit(f *pflag.Flag, value string) string {
	kind := f.Value.Type()
	switch kind {
	case "bool":
		kind = "true or false"
	case "int":
		kind = "a whole number"
	case "float64":
		kind = "a number"
	case "duration":
		kind = "a time such as 100ms"
	}
	return fmt.Sprintf("%q does not fit: write %s", value, kind)
}

func (c *configuration) fault(node *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", c.path, node.Line, fmt.Sprintf(format, args...))
}

package firewall

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// maxMapsBytes is far above the maps of any ruleset that a person can read.
const maxMapsBytes = 64 << 20

// ReadMaps reads a file that holds Maps as JSON. Every error is one line that
// names the file and what is wrong with it.
func ReadMaps(path string) (*Maps, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxMapsBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxMapsBytes {
		return nil, fmt.Errorf("%s: larger than %d MB: is it a snapshot?", path, maxMapsBytes>>20)
	}
	m, err := decodeMaps(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// write is what errors about the file as a whole end with.
const write = "write it anew with `loopcheck firewall snapshot`"

// decodeMaps takes what Maps are encoded as and nothing else.
func decodeMaps(text []byte) (*Maps, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("it is empty: " + write)
	}
	// A later version has fields of its own: that is told before they are.
	var version struct {
		SchemaVersion *string `json:"schema_version"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, jsonError(text, err)
	}
	switch {
	case version.SchemaVersion == nil:
		return nil, errors.New("it is no snapshot, for it has no schema_version: " + write)
	case *version.SchemaVersion != MapSchema:
		return nil, fmt.Errorf("schema_version %q: this loopcheck reads %q alone: %s", short(*version.SchemaVersion), MapSchema, write)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var m Maps
	if err := decoder.Decode(&m); err != nil {
		return nil, jsonError(text, err)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return &m, nil
}

// jsonError says where a document is no JSON, or not that of a snapshot.
func jsonError(text []byte, err error) error {
	where := func(offset int64) int { return 1 + bytes.Count(text[:min(int(offset), len(text))], []byte("\n")) }
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		if syntax.Error() == "unexpected end of JSON input" {
			return errors.New("it ends in the middle: " + write)
		}
		return fmt.Errorf("line %d: no JSON: %s: %s", where(syntax.Offset), short(syntax.Error()), write)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		name := wrong.Field
		if name == "" {
			name = "the document"
		}
		return fmt.Errorf("line %d: %s is %s, which no snapshot has there: %s", where(wrong.Offset), short(name), short(wrong.Value), write)
	}
	return fmt.Errorf("it is no snapshot: %s: %s", short(err.Error()), write)
}

// short bounds what is shown of a text that stands in the file.
func short(text string) string {
	const most = 80
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// The names that maps have.
var (
	mapProtocols = []string{"tcp", "udp", "icmp"}
	mapFamilies  = []string{"ipv4", "ipv6"}
)

// check refuses what no ruleset can have led to.
func (m *Maps) check() error {
	zones := map[string]bool{}
	for _, place := range m.Zones {
		switch {
		case place.Zone == "":
			return errors.New("a zone has no name")
		case zones[place.Zone]:
			return fmt.Errorf("zone %q is there twice", short(place.Zone))
		}
		zones[place.Zone] = true
	}
	if len(m.Maps) == 0 {
		return errors.New("there is no map in it: " + write)
	}
	known := map[[3]string]bool{}
	for _, one := range m.Maps {
		name := fmt.Sprintf("the map of %q over %q from %q", short(one.Protocol), short(one.Family), short(one.Zone))
		key := [3]string{one.Zone, one.Protocol, one.Family}
		switch {
		case !zones[one.Zone]:
			return fmt.Errorf("%s: there is no such zone", name)
		case !slices.Contains(mapProtocols, one.Protocol):
			return fmt.Errorf("%s: there is no such protocol", name)
		case !slices.Contains(mapFamilies, one.Family):
			return fmt.Errorf("%s: there is no such family", name)
		case known[key]:
			return fmt.Errorf("%s is there twice", name)
		}
		known[key] = true
		if err := one.check(len(m.Rules)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// check refuses ranges that do not make up all ports, once each and in order.
func (m Map) check(rules int) error {
	asked := everyPort[0]
	if m.Protocol == "icmp" {
		asked = icmpTypes[0]
	}
	next := int(asked.First)
	for _, r := range m.Ranges {
		switch first := int(r.First); {
		case r.Last < r.First:
			return fmt.Errorf("%d-%d: a range ends before it begins", r.First, r.Last)
		case first < next:
			return fmt.Errorf("%s: ranges overlap, or are out of order", r.Ports())
		case first > next:
			return fmt.Errorf("%s: no range has them", portset.Range{First: uint16(next), Last: r.First - 1})
		case r.Last > asked.Last:
			return fmt.Errorf("%s: the last there can be is %d", r.Ports(), asked.Last)
		case r.Rule < -1 || r.Rule >= rules:
			return fmt.Errorf("%s: there is no rule %d among the %d", r.Ports(), r.Rule, rules)
		}
		if err := checkVerdict(r.Verdict); err != nil {
			return fmt.Errorf("%s: %w", r.Ports(), err)
		}
		next = int(r.Last) + 1
	}
	if next <= int(asked.Last) {
		return fmt.Errorf("%s: no range has them", portset.Range{First: uint16(next), Last: asked.Last})
	}
	return nil
}

func checkVerdict(v verdict.Verdict) error {
	switch v.Action {
	case verdict.Accept, verdict.Drop:
		if v.Kind != "" {
			return fmt.Errorf("%s has no kind, %q", v.Action, short(string(v.Kind)))
		}
	case verdict.Reject:
		if v.Kind == "" {
			return errors.New("reject without its kind")
		}
	default:
		return fmt.Errorf("there is no action %q", short(string(v.Action)))
	}
	return nil
}

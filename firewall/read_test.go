package firewall

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// written is a file with this text.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "base.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// snapshot is small maps as they are written.
func snapshot(t testing.TB) string {
	t.Helper()
	text, err := json.MarshalIndent(mapsOf(with(drawn[1], 1, 21), with(drawn[7], 22, 22), with(drawn[3], 23, 1000), with(drawn[6], 1001, 65535)), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReadMaps(t *testing.T) {
	text := snapshot(t)
	m, err := ReadMaps(written(t, text))
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(again)); diff != "" {
		t.Error(diff)
	}
}

func TestReadMapsRefuses(t *testing.T) {
	text := snapshot(t)
	for _, c := range []struct{ name, old, new, want string }{
		{"another version", `"schema_version": "1"`, `"schema_version": "2", "later": 1`, `schema_version "2": this loopcheck reads "1" alone`},
		{"no version", `"schema_version"`, `"version"`, "it has no schema_version"},
		{"an unknown field", `"source"`, `"sauce"`, `unknown field "sauce"`},
		{"an unknown field of a range", `"landed"`, `"stranded"`, `unknown field "stranded"`},
		{"text for a number", `"first": 22,`, `"first": "22",`, "first is string, which no snapshot has there"},
		{"a port too large", `"last": 65535`, `"last": 65536`, "last is number 65536, which no snapshot has there"},
		{"no address", `"20.20.20.2"`, `"20.20.20"`, "it is no snapshot: ParseAddr"},
		{"garbage behind", text, text + "x", "line 83: no JSON: invalid character 'x' after top-level value"},
		{"cut off", text, text[:len(text)/2], "it ends in the middle"},
		{"nothing", text, " \n", "it is empty"},
		{"null", text, "null", "it has no schema_version"},
		{"a list", text, "[]", "line 1: the document is array, which no snapshot has there"},
		{"a zone without a name", `"zone": "outside",` + "\n   \"interface\"", `"zone": "",` + "\n   \"interface\"", "a zone has no name"},
		{"an unknown zone", `"zone": "outside",` + "\n   \"protocol\"", `"zone": "\u001b[2J",` + "\n   \"protocol\"", `from "\x1b[2J": there is no such zone`},
		{"an unknown protocol", `"tcp",`, `"sctp",`, `the map of "sctp" over "ipv4" from "outside": there is no such protocol`},
		{"an unknown family", `"ipv4"`, `"ipx"`, "there is no such family"},
		{"ranges out of order", `"first": 22,`, `"first": 20,`, "20-22: ranges overlap, or are out of order"},
		{"a reversed range", `"last": 1000`, `"last": 10`, "23-10: a range ends before it begins"},
		{"a gap", `"first": 23`, `"first": 25`, "23-24: no range has them"},
		{"a gap at the end", `"last": 65535`, `"last": 65000`, "65001-65535: no range has them"},
		{"icmp with ports", `"tcp",`, `"icmp",`, "0: no range has them"},
		{"a rule that is not there", `"rule": 0`, `"rule": 4`, "1-21: there is no rule 4 among the 4"},
		{"a rule below none", `"rule": 0`, `"rule": -2`, "1-21: there is no rule -2 among the 4"},
		{"an unknown action", `"accept"`, `"queue"`, `1-21: there is no action "queue"`},
		{"a drop with a kind", `"reject"`, `"drop"`, `22: drop has no kind, "tcp-reset"`},
		{"a reject without one", `"drop"`, `"reject"`, "1001-65535: reject without its kind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(text, c.old, c.new, 1)
			if changed == text {
				t.Fatalf("%q does not stand in\n%s", c.old, text)
			}
			path := written(t, changed)
			_, err := ReadMaps(path)
			if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	t.Run("twice the same", func(t *testing.T) {
		for _, twice := range []func(m *Maps){
			func(m *Maps) { m.Zones = append(m.Zones, m.Zones...) },
			func(m *Maps) { m.Maps = append(m.Maps, m.Maps...) },
		} {
			m := mapsOf(with(drawn[1], 1, 65535))
			twice(m)
			if err := m.check(); err == nil || !strings.Contains(err.Error(), "is there twice") {
				t.Error(err)
			}
		}
	})
}

func TestReadMapsOfNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadMaps(filepath.Join(dir, "absent.json")); !os.IsNotExist(err) {
		t.Error(err)
	}
	if _, err := ReadMaps(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: %v", err)
	}
	large := filepath.Join(dir, "large.json")
	f, err := os.Create(large)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(maxMapsBytes + 1); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMaps(large); err == nil || !strings.Contains(err.Error(), "large.json: larger than 64 MB: is it a snapshot?") {
		t.Error(err)
	}
}

// What is read can be written and read again, and is no difference to itself.
func FuzzReadMaps(f *testing.F) {
	f.Add([]byte(snapshot(f)))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decodeMaps(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 1000 {
				t.Errorf("%q", err)
			}
			return
		}
		encoded, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeMaps(encoded)
		if err != nil {
			t.Fatalf("%v\n%s", err, encoded)
		}
		if d := Diff(m, again); len(d.Changes)+len(d.Uncompared) > 0 {
			t.Errorf("%+v", d)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(encoded, twice) {
			t.Errorf("%v\n%s\n%s", err, encoded, twice)
		}
	})
}

package mock

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/userfile/userfiletest"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/probe/userfile"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// folderOf is the root that files of routes may name files in.
func folderOf(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func filesOf(t testing.TB, kind string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", kind, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files: %v", err)
	}
	return paths
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The messages are in a file, one a line, in the order of the names.
func TestBrokenRoutesAreRefused(t *testing.T) {
	folder := folderOf(t, "testdata/broken")
	var got bytes.Buffer
	for _, path := range filesOf(t, "broken") {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		f, err := Parse("routes.yaml", read(t, path), folder)
		if err == nil {
			t.Errorf("%s was taken: %+v", name, f)
			continue
		}
		if _, ok := errors.AsType[*userfile.Error](err); !ok {
			t.Errorf("%s: the error is a %T", name, err)
		}
		got.WriteString(name + ": " + err.Error() + "\n")
	}
	const golden = "testdata/refusals.txt"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, golden)), got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGoodRoutesAreRead(t *testing.T) {
	folder := folderOf(t, "testdata/good")
	for _, path := range filesOf(t, "good") {
		f, err := ReadFile(path, folder)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, r := range f.Routes {
			if r.Pattern == "" || r.Line == 0 || len(r.Answers) == 0 {
				t.Errorf("%s: %+v is not complete", path, r)
			}
		}
	}
}

const schemaPath = "../../../docs/routes.schema.json"

func TestGoodRoutesFollowTheSchema(t *testing.T) {
	s := userfiletest.Schema(t, schemaPath)
	for _, path := range filesOf(t, "good") {
		if err := userfiletest.Validate(t, s, read(t, path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// beyondSchema is what the parser alone can tell: what YAML has and JSON lacks, what
// files and other routes there are, how http.ServeMux reads a pattern, and which is the
// larger of two times.
var beyondSchema = []string{
	"syntax", "anchor", "control", "documents", "twice", "json-twice", "headers-twice", "json-alias", "json-infinite", "json-large", "share-nan",
	"route-alias", "route-twice", "route-conflict", "route-wildcard", "route-wildcard-twice", "route-percent",
	"text-place", "text-unknown", "text-open", "headers-place", "json-place", "headers-value",
	"file-absent", "file-outside", "file-folder", "delay-reversed", "delay-percentiles", "delay-long", "delay-zero",
}

func TestTheSchemaRefusesToo(t *testing.T) {
	s := userfiletest.Schema(t, schemaPath)
	for _, path := range filesOf(t, "broken") {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		if !slices.Contains(beyondSchema, name) && userfiletest.Validate(t, s, read(t, path)) == nil {
			t.Errorf("the schema takes broken/%s.yaml", name)
		}
	}
}

func TestTheSchemaKnowsEveryKey(t *testing.T) {
	type object struct {
		Properties map[string]json.RawMessage
		Closed     *bool `json:"unevaluatedProperties"`
	}
	var document struct {
		object
		Definitions map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(read(t, schemaPath), &document); err != nil {
		t.Fatal(err)
	}
	keysOf := func(o object) []string { return slices.Sorted(maps.Keys(o.Properties)) }
	sorted := func(keys ...string) []string { return slices.Sorted(slices.Values(keys)) }
	if got := keysOf(document.object); !slices.Equal(got, sorted(fileKeys...)) {
		t.Errorf("the schema has the keys %q", got)
	}
	if got := keysOf(document.Definitions["answer"]); !slices.Equal(got, sorted(answerKeys...)) {
		t.Errorf("answer: the schema has the keys %q", got)
	}
	if got := append(keysOf(document.Definitions["route"]), answerKeys...); !slices.Equal(sorted(got...), sorted(routeKeys...)) {
		t.Errorf("route: the schema has the keys %q", got)
	}
	var faultSchema struct{ Enum []Fault }
	if err := json.Unmarshal(document.Definitions["answer"].Properties["fault"], &faultSchema); err != nil || !slices.Equal(faultSchema.Enum, faults) {
		t.Errorf("the schema has the faults %q, %v", faultSchema.Enum, err)
	}
}

// The example of the page for users is a file of routes.
func TestThePageShowsRoutes(t *testing.T) {
	if !strings.Contains(string(read(t, "../../../docs/serve.md")), "```yaml\n"+string(read(t, "testdata/good/complete.yaml"))+"```\n") {
		t.Error("docs/serve.md does not show testdata/good/complete.yaml")
	}
}

// Whatever stands in a file, the error is one line that names the file, and what is
// taken can be served.
func FuzzParse(f *testing.F) {
	for _, kind := range []string{"good", "broken"} {
		for _, path := range filesOf(f, kind) {
			f.Add(read(f, path))
		}
	}
	folder := folderOf(f, "testdata/good")
	f.Fuzz(func(t *testing.T, content []byte) {
		routes, err := Parse("routes.yaml", content, folder)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "routes.yaml:") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("the error is %q", err)
			}
			return
		}
		NewHandler(routes, folder, Options{}) // panics where http.ServeMux takes a pattern not
	})
}

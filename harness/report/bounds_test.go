package report

import (
	"strings"
	"testing"
)

// A document that is small and would be huge in memory is refused, and one of a very
// long measuring is not.
func TestListsAreBounded(t *testing.T) {
	list := func(element string, n int) string { return "[" + strings.Repeat(element+",", n-1) + element + "]" }
	for name, c := range map[string]struct{ document, want string }{
		"checks":      {`{"schema_version":"1","checks":` + list("{}", maxElements+2) + `}`, "its lists have more than 100000 elements"},
		"of no type":  {`{"schema_version":"1","checks":` + list("0", maxElements+2) + `}`, "its lists have more than 100000 elements"},
		"in lists":    {`{"schema_version":"1","benchmarks":[{"modes_ns":` + list("{}", maxElements+2) + `}]}`, "its lists have more than 100000 elements"},
		"in restarts": {`{"benchmarks":[{"restarts":[{"taint":` + list(`""`, maxElements+2) + `}]}]}`, "its lists have more than 100000 elements"},
		"restarts":    {`{"benchmarks":[{"restarts":` + list("{}", maxRestarts+1) + `}]}`, "it has more than 500000 restarts"},
		"fit":         {`{"benchmarks":[{"restarts":` + list("{}", maxRestarts) + `}],"checks":` + list("{}", 100) + `}`, ""},
		"maps":        {`{"measurements":{` + strings.Repeat(`"a":[{},{"b":0}],`, maxElements/3) + `"b":1}}`, ""},
		"no JSON":     {list("{]", maxElements+2), ""},
		"cut off":     {strings.TrimSuffix(list("[", maxElements+2), "]"), ""},
	} {
		err := bounded([]byte(c.document))
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

package report

import "io"

// Formats are the forms that a report can be written in as a whole, by their names
// on the command line.
var Formats = []struct {
	Name  string
	Write func(*Report) func(io.Writer) error
}{
	{"json", JSON},
	{"jsonl", JSONLines},
	{"html", HTML},
	{"junit", JUnit},
	{"openmetrics", OpenMetrics},
	{"github", GitHub},
	{"markdown", Markdown},
	{"csv", CSV},
}

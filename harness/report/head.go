package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
)

//go:embed head.html
var headHTML string

// partsHTML is what the templates of all pages have.
var partsHTML = chartsHTML + headHTML + `{{- define "badge"}}<span class="badge {{.}}"><span aria-hidden="true">{{glyph .}}</span> {{.}}</span>{{end}}`

// Head is what the template "head" writes: the title of a page that stands for
// itself, its strict policy, and its style.
type Head struct {
	Title  string
	Policy string
	Style  template.HTML
}

// NewHead is that of a page without scripts, with some style of its own beside that
// of the report's.
func NewHead(title, style string) Head {
	return newHead(title, pageCSS+style, "").Head
}

// PageTemplate is the template of a page that writes states and figures as the
// report does. It panics where the text is no template, which is a mistake in the
// source.
func PageTemplate(name, text string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{
		"duration": humanDuration,
		"ns":       humanNS,
		"glyph":    func(s check.State) string { return glyphs[s] },
		"count":    count,
		"share":    func(ratio float64) string { return fmt.Sprintf("%.0f %%", 100*ratio) },
		"change":   func(ratio float64) string { return fmt.Sprintf("%+.0f %%", 100*ratio) },
	}).Parse(partsHTML + text))
}

// contentPolicy is the Content-Security-Policy of a page (W3C CSP Level 3): what is
// not its own style and script, by their hashes, is neither applied nor run.
func contentPolicy(css, js string) string {
	return strings.Join([]string{
		"default-src 'none'",
		"style-src " + hashSource(css),
		"script-src " + hashSource(js),
		"img-src data:",
		"base-uri 'none'",
		"form-action 'none'",
	}, "; ")
}

func hashSource(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Latency is a time in nanoseconds as the report tells it, with three significant
// digits and a unit.
func Latency(ns float64) string { return humanNS(ns) }

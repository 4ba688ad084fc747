package mock

import (
	"cmp"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/net/http/httpguts"

	"github.com/loopcheck/loopcheck/harness/serve/files"
	"github.com/loopcheck/loopcheck/probe/userfile"
)

// ReadFile reads a file of routes. The error is one line that names the file, the
// line and what to write. Files that the routes name have to be in the folder, which
// is that of the file, or below.
func ReadFile(path string, folder *os.Root) (*File, error) {
	// A named pipe without a writer would otherwise be waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && !isDescriptor(path) {
		err = &userfile.Error{Path: path, Message: "no regular file: write the path of a file of routes"}
	}
	if err != nil {
		return nil, err
	}
	content, err := userfile.ReadFrom(f, path, "a file of routes")
	if err != nil {
		return nil, err
	}
	return Parse(path, content, folder)
}

// isDescriptor says whether a path is what the process was given open, such as a
// shell's <(command).
func isDescriptor(path string) bool {
	return path == "/dev/stdin" || slices.Contains([]string{"/dev/fd", "/proc/self/fd"}, filepath.Dir(path))
}

// Keys of the file, of an answer, and of a route, which may hold those of its only
// answer.
var (
	fileKeys   = []string{"seed", "routes"}
	answerKeys = []string{"status", "headers", "text", "json", "file", "delay", "rate", "fault", "share"}
	routeKeys  = append([]string{"route", "answers", "cycle"}, answerKeys...)
)

// maxRoutes bounds how long the routes are compared with each other.
const maxRoutes = 10_000

// Parse is ReadFile of the content of a file; path stands in the errors.
func Parse(path string, content []byte, folder *os.Root) (*File, error) {
	root, err := userfile.Parse(path, content, "write `routes:` and a list, each beginning with `- route: GET /path`")
	if err != nil {
		return nil, err
	}
	fields, err := root.Mapping("the routes", fileKeys...)
	if err != nil {
		return nil, err
	}
	f := &File{Path: path}
	if node, there := fields["seed"]; there {
		seed, err := number(node, "seed", 0, 1<<53)
		if err != nil {
			return nil, err
		}
		f.Seed = new(uint64(seed))
	}
	node, there := fields["routes"]
	switch {
	case !there:
		return nil, root.Fault("`routes:` is missing: write a list, each beginning with `- route: GET /path`")
	case !node.IsList():
		return nil, node.Fault("routes: write a list, each beginning with `- route: GET /path`")
	case len(node.Items()) == 0 || len(node.Items()) > maxRoutes:
		return nil, node.Fault("routes: write from 1 to %d", maxRoutes)
	}
	mux := http.NewServeMux()
	for _, item := range node.Items() {
		r, err := parseRoute(item, folder)
		if err != nil {
			return nil, err
		}
		if why := register(mux, r.Pattern); why != "" {
			return nil, item.Fault("%s", conflict(f.Routes, r, why))
		}
		f.Routes = append(f.Routes, r)
	}
	return f, nil
}

func parseRoute(node userfile.Node, folder *os.Root) (Route, error) {
	r := Route{Line: node.Line()}
	fields, err := node.Mapping("a route", routeKeys...)
	if err != nil {
		return r, err
	}
	pattern, there := fields["route"]
	if !there {
		return r, node.Fault("`route:` is missing: write a path, or a method and a path, such as GET /users/{id}")
	}
	if r.Pattern, err = pattern.Text("route"); err != nil {
		return r, err
	}
	if err := unreachable(r.Pattern); err != nil {
		return r, pattern.Fault("route: %v", err)
	}
	if why := register(http.NewServeMux(), r.Pattern); why != "" {
		return r, pattern.Fault("%s", conflict(nil, r, why))
	}
	if node, there := fields["cycle"]; there {
		if r.Cycle, err = truth(node, "cycle"); err != nil {
			return r, err
		}
	}
	answers, several := fields["answers"]
	if !several {
		if r.Cycle {
			return r, node.Fault("cycle: there is one answer: write `answers:` and a list")
		}
		a, err := parseAnswer(node, fields, r.Pattern, folder)
		r.Answers = []Answer{a}
		return r, err
	}
	for _, key := range answerKeys {
		if other, there := fields[key]; there {
			return r, other.Fault("%s: write it within `answers:`", key)
		}
	}
	if !answers.IsList() || len(answers.Items()) == 0 {
		return r, answers.Fault("answers: write a list, each beginning with `- status:` or another key of an answer")
	}
	for _, item := range answers.Items() {
		fields, err := item.Mapping("an answer", answerKeys...)
		if err != nil {
			return r, err
		}
		a, err := parseAnswer(item, fields, r.Pattern, folder)
		if err != nil {
			return r, err
		}
		r.Answers = append(r.Answers, a)
	}
	return r, nil
}

// bodyless are statuses that have no body (RFC 9110 6.4.1).
var bodyless = []int{http.StatusNoContent, http.StatusNotModified}

func parseAnswer(node userfile.Node, fields map[string]userfile.Node, pattern string, folder *os.Root) (Answer, error) {
	a := Answer{Status: http.StatusOK}
	read := map[string]func(userfile.Node) error{
		"status":  a.parseStatus,
		"headers": func(n userfile.Node) error { return a.parseHeaders(n, pattern) },
		"text":    func(n userfile.Node) error { return a.parseText(n, pattern) },
		"json":    func(n userfile.Node) error { return a.parseJSON(n, pattern) },
		"file":    func(n userfile.Node) error { return a.parseFile(n, folder) },
		"delay":   func(n userfile.Node) (err error) { a.Delay, err = parseDelay(n); return err },
		"rate":    func(n userfile.Node) (err error) { a.RateBytesPerSecond, err = number(n, "rate", 1, 1<<40); return err },
		"fault":   a.parseFault,
		"share":   a.parseShare,
	}
	for _, key := range answerKeys {
		if value, there := fields[key]; there {
			if err := read[key](value); err != nil {
				return a, err
			}
		}
	}
	switch {
	case a.body != nil && slices.Contains(bodyless, a.Status):
		return a, node.Fault("status %d has no body: leave out text, json or file", a.Status)
	case a.Share != 0 && a.Fault == NoFault:
		return a, node.Fault("share: it is that of a fault: write `fault:` too")
	case a.body == nil && a.Fault == Truncate:
		return a, node.Fault("fault: truncate needs a body: write text, json or file")
	case a.body == nil && a.RateBytesPerSecond != 0:
		return a, node.Fault("rate: it is that of a body: write text, json or file")
	}
	if a.Fault != NoFault && a.Share == 0 {
		a.Share = 1
	}
	return a, nil
}

func (a *Answer) parseStatus(node userfile.Node) error {
	status, err := number(node, "status", 200, 599)
	a.Status = int(status)
	return err
}

// framing are the headers that the server writes itself.
var framing = []string{"Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade"}

// header is one that an answer has.
type header struct {
	name  string
	value text
}

func (a *Answer) parseHeaders(node userfile.Node, pattern string) error {
	if !node.IsMapping() {
		return node.Fault("headers: write them as `Name: value` lines")
	}
	pairs, err := node.Pairs("headers", "")
	if err != nil {
		return err
	}
	for _, p := range pairs {
		name := http.CanonicalHeaderKey(p.Key)
		switch {
		case !httpguts.ValidHeaderFieldName(p.Key):
			return p.At.Fault("headers: %q is no name of a header", p.Key)
		case slices.Contains(framing, name):
			return p.At.Fault("headers: %s is written by the server: leave it out", name)
		}
		values, err := p.Value.Texts(p.Key)
		if err != nil {
			return err
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return p.Value.Fault("headers: %s: %q has characters that no header may have", name, value)
			}
			t, err := parseText(value, pattern)
			if err != nil {
				return p.Value.Fault("headers: %s: %v", name, err)
			}
			a.headers = append(a.headers, header{name, t})
		}
	}
	return nil
}

// take sets the body, of which there is one.
func (a *Answer) take(node userfile.Node, b body) error {
	if a.body != nil {
		return node.Fault("an answer has one body: write text, json or file")
	}
	a.body = b
	return nil
}

func (a *Answer) parseText(node userfile.Node, pattern string) error {
	s, err := node.Text("text")
	if err != nil {
		return err
	}
	t, err := parseText(s, pattern)
	if err != nil {
		return node.Fault("text: %v", err)
	}
	return a.take(node, textBody{t})
}

func (a *Answer) parseJSON(node userfile.Node, pattern string) error {
	v, err := parseJSON(node, pattern)
	if err != nil {
		return err
	}
	return a.take(node, jsonBody{v})
}

func (a *Answer) parseFile(node userfile.Node, folder *os.Root) error {
	name, err := node.Text("file")
	if err != nil {
		return err
	}
	if !filepath.IsLocal(name) {
		return node.Fault("file: %s is outside of the folder of the routes: write one that is in it, or below", name)
	}
	f, info, err := files.Open(folder, name)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err
	}
	if err != nil {
		return node.Fault("file: %s: %v: write one that can be read", name, err)
	}
	_ = f.Close()
	if info.IsDir() {
		return node.Fault("file: %s is a folder: write a file", name)
	}
	return a.take(node, fileBody{name, cmp.Or(files.MediaType(name), "application/octet-stream")})
}

func (a *Answer) parseFault(node userfile.Node) error {
	name, err := node.Text("fault")
	if err != nil {
		return err
	}
	if a.Fault = Fault(name); !slices.Contains(faults, a.Fault) {
		return node.Fault("fault: %q: write one of %s", name, faultNames())
	}
	return nil
}

func faultNames() string {
	var names []string
	for _, f := range faults {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

func (a *Answer) parseShare(node userfile.Node) error {
	text, err := node.Text("share")
	if err != nil {
		return err
	}
	a.Share, err = strconv.ParseFloat(text, 64)
	if err != nil || !(a.Share > 0 && a.Share <= 1) {
		return node.Fault("share: %q: write a number above 0, at most 1, such as 0.1", text)
	}
	return nil
}

func number(node userfile.Node, key string, least, most int64) (int64, error) {
	text, err := node.Text(key)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, node.Fault("%s: %q: write a whole number from %d to %d", key, text, least, most)
	}
	return n, nil
}

func truth(node userfile.Node, key string) (bool, error) {
	text, err := node.Text(key)
	if err == nil && text != "true" && text != "false" {
		err = node.Fault("%s: %q: write true or false", key, text)
	}
	return text == "true", err
}

package mock

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// split parts a pattern as http.ServeMux does. Without a slash there is no path.
func split(pattern string) (method, host, at string) {
	rest := pattern
	if i := strings.IndexAny(pattern, " \t"); i >= 0 {
		method, rest = pattern[:i], strings.TrimLeft(pattern[i:], " \t")
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return method, rest[:i], rest[i:]
	}
	return method, rest, ""
}

// unreachable tells patterns that no request can match: a host or a path as it is not
// sent, and methods in other letters than they are sent in. What has no path is none.
func unreachable(pattern string) error {
	method, host, at := split(pattern)
	_, port, err := net.SplitHostPort(host)
	hasPort := err == nil
	_, err = url.PathUnescape(at)
	switch {
	case at == "":
		return nil
	case method != strings.ToUpper(method):
		return fmt.Errorf("%s: methods are upper case: write %s", method, strings.ToUpper(method))
	case hasPort:
		return fmt.Errorf("%s: a port is not matched: leave out :%s", pattern, port)
	case !httpguts.ValidHostHeader(host):
		return fmt.Errorf("%s: %q is no host: write a method and a path, such as GET /users/{id}", pattern, host)
	case strings.ContainsAny(at, "?#"):
		return fmt.Errorf("%s: a query is not matched: leave out what begins with ? or #", pattern)
	case err != nil:
		return fmt.Errorf("%s: write %%25 for a %% in the path", pattern)
	case at != clean(at):
		return fmt.Errorf("%s: a path is cleaned before it is matched: write %s", pattern, strings.TrimSuffix(pattern, at)+clean(at))
	}
	return nil
}

// clean is the path that is asked for in the place of another.
func clean(at string) string {
	cleaned := path.Clean(at)
	if strings.HasSuffix(at, "/") && cleaned != "/" {
		cleaned += "/"
	}
	return cleaned
}

// register says why a pattern is not taken, which http.ServeMux says by a panic.
func register(mux *http.ServeMux, pattern string) (why string) {
	defer func() {
		if said := recover(); said != nil {
			why = fmt.Sprint(said)
		}
	}()
	mux.Handle(pattern, http.NotFoundHandler())
	return ""
}

// conflict says why a route cannot stand beside the others.
func conflict(others []Route, r Route, why string) string {
	if register(http.NewServeMux(), r.Pattern) != "" {
		_, detail, _ := strings.Cut(why, "parsing ")
		return fmt.Sprintf("route: %s: write a path, or a method and a path, such as GET /users/{id}", cmp.Or(detail, why))
	}
	for _, other := range others {
		both := http.NewServeMux()
		_ = register(both, other.Pattern)
		if register(both, r.Pattern) == "" {
			continue
		}
		if other.Pattern == r.Pattern {
			return fmt.Sprintf("route: %s stands in line %d already: leave one out, or write `answers:`", r.Pattern, other.Line)
		}
		return fmt.Sprintf("route: %s and %s in line %d match the same requests, and neither is the more specific: narrow one", r.Pattern, other.Pattern, other.Line)
	}
	return "route: " + why
}

package files

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

//go:embed listing.html
var listingHTML string

//go:embed listing.css
var listingCSS string

var listing = template.Must(template.New("listing").Parse(listingHTML))

// stylePolicy lets the page have its style and nothing else.
var stylePolicy = func() string {
	sum := sha256.Sum256([]byte(listingCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// crumb is a folder above the one listed.
type crumb struct{ Name, Link string }

type listingPage struct {
	Style   template.CSS
	Path    string
	Above   []crumb
	Here    string
	Entries []line
	More    int // how many are shown where there are more, otherwise 0
}

type line struct {
	entry
	Link string
}

// list answers with what a folder holds: a page, or JSON for who asks for it.
func (h *Handler) list(w http.ResponseWriter, r *http.Request, f *os.File, clean string) error {
	all, more, err := h.entries(f, clean)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	header := w.Header()
	header.Set("Cache-Control", "no-cache")
	header.Add("Vary", "Accept")
	if accept := r.Header.Get("Accept"); strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html") {
		header.Set("Content-Type", "application/json")
		err = json.NewEncoder(&out).Encode(append([]entry{}, all...))
	} else {
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Content-Security-Policy", stylePolicy)
		err = listing.Execute(&out, newListingPage(clean, all, more))
	}
	if err != nil {
		return err
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(out.Bytes()) // the client may have gone
	}
	return nil
}

func newListingPage(clean string, all []entry, more bool) listingPage {
	p := listingPage{Style: template.CSS(listingCSS), Path: clean, Here: "/"}
	if clean != "/" {
		p.Path += "/"
		names := strings.Split(strings.Trim(clean, "/"), "/")
		last := len(names) - 1
		p.Above = append(p.Above, crumb{"/", strings.Repeat("../", last+1)})
		for i, name := range names[:last] {
			p.Above = append(p.Above, crumb{name, strings.Repeat("../", last-i)})
		}
		p.Here = names[last]
	}
	if more {
		p.More = len(all)
	}
	for _, e := range all {
		name := e.Name
		if e.Dir {
			name += "/"
		}
		// "./" before a name with a colon, which is no scheme.
		link := (&url.URL{Path: name}).String()
		p.Entries = append(p.Entries, line{e, link})
	}
	return p
}

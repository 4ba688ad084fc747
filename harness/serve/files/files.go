// Package files serves the files of a folder over HTTP: pages, with ranges,
// conditional requests (RFC 9110 13) and their media types, and lists of what a
// folder holds. Nothing outside of the folder is served, and nothing is changed.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Handler serves what is below Root. It is safe for concurrent use.
type Handler struct {
	Root *os.Root
	// Dotfiles shows what has a name that begins with a dot, or is in a folder that
	// has one; otherwise there is no such thing.
	Dotfiles bool
	// SinglePage answers with /index.html where there is no such file, as
	// applications want that make their pages in the browser.
	SinglePage bool
}

const (
	indexPage = "index.html"
	methods   = "GET, HEAD, OPTIONS"
)

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// What a file is, its name says, and not what stands in it.
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		w.Header().Set("Allow", methods)
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		w.Header().Set("Allow", methods)
		http.Error(w, fmt.Sprintf("files are read here: %s", methods), http.StatusMethodNotAllowed)
		return
	}
	clean := path.Clean("/" + r.URL.Path)
	err := h.serve(w, r, clean)
	if isAbsent(err) && h.SinglePage && isPage(r, clean) {
		err = h.servePage(w, r, "/"+indexPage)
	}
	if err != nil {
		refuse(w, r, err)
	}
}

// isAbsent says that there can be no such file either: below one, or by a name that is
// longer than a file system has it.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG)
}

// isPage tells what a browser goes to from what a page loads: it says so, or the name
// has no end that tells of a file.
func isPage(r *http.Request, clean string) bool {
	return path.Ext(clean) == "" || strings.Contains(r.Header.Get("Accept"), "text/html")
}

// refuse says where a file may not be read. Of a link that leads out of the folder it
// says no more than that there is nothing.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, fs.ErrPermission):
		http.Error(w, "not allowed to read "+r.URL.Path, http.StatusForbidden)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		http.Error(w, "too many files are open", http.StatusServiceUnavailable)
	default:
		http.Error(w, "there is no "+r.URL.Path, http.StatusNotFound)
	}
}

func (h *Handler) hidden(clean string) bool {
	return !h.Dotfiles && strings.Contains(clean, "/.")
}

func (h *Handler) open(clean string) (*os.File, fs.FileInfo, error) {
	if h.hidden(clean) {
		return nil, nil, fs.ErrNotExist
	}
	name := strings.Trim(clean, "/")
	if name == "" {
		name = "."
	}
	return Open(h.Root, name)
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, clean string) error {
	f, info, err := h.open(clean)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	slashed := strings.HasSuffix(r.URL.Path, "/")
	switch {
	case info.IsDir() && !slashed:
		redirect(w, r, strings.TrimSuffix(clean, "/")+"/")
		return nil
	case info.IsDir():
		err := h.servePage(w, r, path.Join(clean, indexPage))
		if errors.Is(err, fs.ErrNotExist) {
			return h.list(w, r, f, clean)
		}
		return err
	case slashed:
		redirect(w, r, clean)
		return nil
	}
	send(w, r, f, info)
	return nil
}

// servePage serves a file under a path that is not its own.
func (h *Handler) servePage(w http.ResponseWriter, r *http.Request, clean string) error {
	f, info, err := h.open(clean)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if info.IsDir() {
		return fs.ErrNotExist
	}
	send(w, r, f, info)
	return nil
}

// redirect leads to a path that path.Clean made of one that begins with a slash: it
// begins with one slash alone, and a backslash in it is escaped, so that no browser
// takes it for another host.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	u := url.URL{Path: to, RawQuery: r.URL.RawQuery}
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusMovedPermanently)
}

// send sends a file, or the range of it that was asked for.
func send(w http.ResponseWriter, r *http.Request, f *os.File, info fs.FileInfo) {
	header := w.Header()
	if known := MediaType(info.Name()); known != "" {
		header.Set("Content-Type", known)
	}
	header.Set("ETag", etag(info))
	// A browser asks each time, and is told "not modified": who edits a file and
	// loads the page again sees the edit.
	header.Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, info.Name(), info.ModTime(), f)
}

// etag changes whenever a file is written: file systems keep nanoseconds.
func etag(info fs.FileInfo) string {
	return `"` + strconv.FormatInt(info.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(info.Size(), 36) + `"`
}

// maxEntries bounds how much of a folder is listed.
const maxEntries = 10_000

// entry is one line of a list.
type entry struct {
	Name string `json:"name"`
	// Dir says that it is a folder.
	Dir  bool  `json:"dir"`
	Size int64 `json:"size"`
	// Modified is in RFC 3339, in UTC.
	Modified string `json:"modified"`
}

// entries are what a folder holds that is served, folders first, and whether there is
// more.
func (h *Handler) entries(f *os.File, clean string) (all []entry, more bool, err error) {
	found, err := f.ReadDir(maxEntries + 1)
	if err != nil && len(found) == 0 && !isEnd(err) {
		return nil, false, err
	}
	more = len(found) > maxEntries
	for _, e := range found[:min(len(found), maxEntries)] {
		if !h.Dotfiles && strings.HasPrefix(e.Name(), ".") {
			continue
		}
		// A link that leads out of the folder is none that is served.
		info, err := h.Root.Stat(strings.TrimPrefix(path.Join(clean, e.Name()), "/"))
		if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			continue
		}
		one := entry{Name: e.Name(), Dir: info.IsDir(), Modified: info.ModTime().UTC().Format("2006-01-02T15:04:05Z")}
		if !one.Dir {
			one.Size = info.Size()
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b entry) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, more, nil
}

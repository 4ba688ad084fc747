package webserver

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Note is the resource of the API.
type Note struct {
	Text string `json:"text"`
	Done bool   `json:"done"`
}

// MergePatch is the media type in which a note is changed in part (RFC 7396).
const MergePatch = "application/merge-patch+json"

// maxNoteBytes bounds a note as it is sent.
const maxNoteBytes = 64 << 10

// notes are those of one server. Each change gives a note another entity tag.
type notes struct {
	mu    sync.Mutex
	byID  map[string]stored
	last  int // ID that was given last
	edits int
}

type stored struct {
	Note
	tag      string
	modified time.Time // of whole seconds, as the header field tells them
}

func newNotes() *notes { return &notes{byID: map[string]stored{}} }

// handle adds the API to what is served. Other methods get 405 from the multiplexer,
// with those that are allowed (RFC 9110 15.5.6).
func (n *notes) handle(mux *http.ServeMux) {
	mux.HandleFunc("GET /notes", n.list)
	mux.HandleFunc("POST /notes", n.create)
	mux.HandleFunc("GET /notes/{id}", n.read)
	mux.HandleFunc("PUT /notes/{id}", n.replace)
	mux.HandleFunc("PATCH /notes/{id}", n.change)
	mux.HandleFunc("DELETE /notes/{id}", n.remove)
}

func (n *notes) list(w http.ResponseWriter, _ *http.Request) {
	n.mu.Lock()
	ids := slices.Sorted(maps.Keys(n.byID))
	n.mu.Unlock()
	answer(w, http.StatusOK, ids)
}

// keep stores a note and sets the header fields that tell of it.
func (n *notes) keep(w http.ResponseWriter, id string, note Note) stored {
	n.edits++
	kept := stored{note, fmt.Sprintf(`"%d"`, n.edits), time.Now().Truncate(time.Second)}
	n.byID[id] = kept
	kept.describe(w)
	return kept
}

func (s stored) describe(w http.ResponseWriter) {
	w.Header().Set("ETag", s.tag)
	w.Header().Set("Last-Modified", s.modified.UTC().Format(http.TimeFormat))
}

func (n *notes) create(w http.ResponseWriter, r *http.Request) {
	note, ok := readNote(w, r)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	id := strconv.Itoa(n.last)
	kept := n.keep(w, id, note)
	w.Header().Set("Location", "/notes/"+id)
	answer(w, http.StatusCreated, kept.Note)
}

func (n *notes) read(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	note, there := n.byID[r.PathValue("id")]
	n.mu.Unlock()
	if !there {
		http.NotFound(w, r)
		return
	}
	text, err := json.Marshal(note.Note)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	note.describe(w)
	w.Header().Set("Content-Type", "application/json")
	// It evaluates the preconditions of a GET.
	http.ServeContent(w, r, "", note.modified, strings.NewReader(string(text)))
}

func (n *notes) replace(w http.ResponseWriter, r *http.Request) {
	note, ok := readNote(w, r)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	before, there := n.byID[r.PathValue("id")]
	if !allows(w, r, before, there) {
		return
	}
	kept := n.keep(w, r.PathValue("id"), note)
	if !there {
		w.Header().Set("Location", r.URL.Path)
		answer(w, http.StatusCreated, kept.Note)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (n *notes) change(w http.ResponseWriter, r *http.Request) {
	if !is(r, MergePatch) {
		w.Header().Set("Accept-Patch", MergePatch) // RFC 5789 2.2
		http.Error(w, "a note is changed by "+MergePatch, http.StatusUnsupportedMediaType)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	note, there := n.byID[r.PathValue("id")]
	if !there {
		http.NotFound(w, r)
		return
	}
	if !allows(w, r, note, there) {
		return
	}
	// What the patch does not name stays as it is.
	if err := json.NewDecoder(io.LimitReader(r.Body, maxNoteBytes)).Decode(&note.Note); err != nil {
		http.Error(w, "the change is no JSON: "+err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, http.StatusOK, n.keep(w, r.PathValue("id"), note.Note).Note)
}

func (n *notes) remove(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	note, there := n.byID[r.PathValue("id")]
	if !there {
		http.NotFound(w, r)
		return
	}
	if !allows(w, r, note, there) {
		return
	}
	delete(n.byID, r.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
}

// readNote reads the body of a request, or answers what is wrong with it.
func readNote(w http.ResponseWriter, r *http.Request) (note Note, ok bool) {
	if !is(r, "application/json") {
		http.Error(w, "a note is application/json", http.StatusUnsupportedMediaType)
		return note, false
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxNoteBytes)).Decode(&note); err != nil {
		http.Error(w, "the note is no JSON: "+err.Error(), http.StatusBadRequest)
		return note, false
	}
	return note, true
}

func is(r *http.Request, mediaType string) bool {
	sent, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && sent == mediaType
}

// allows evaluates the preconditions of a request that changes a note, in the order
// of RFC 9110 13.2.2, or answers 412.
func allows(w http.ResponseWriter, r *http.Request, note stored, there bool) bool {
	holds := true
	if match := r.Header.Get("If-Match"); match != "" {
		holds = there && lists(match, note.tag)
	} else if since, err := http.ParseTime(r.Header.Get("If-Unmodified-Since")); err == nil {
		holds = there && !note.modified.After(since)
	}
	if none := r.Header.Get("If-None-Match"); holds && none != "" {
		holds = !there || !lists(none, note.tag)
	}
	if !holds {
		http.Error(w, "the note is not as the request has it", http.StatusPreconditionFailed)
	}
	return holds
}

// lists says whether a list of entity tags has one, by strong comparison.
func lists(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "*" || one == tag {
			return true
		}
	}
	return false
}

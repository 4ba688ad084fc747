// Package serve is a web server for one machine: it serves a folder, and answers that
// a file of routes makes up, to programs and browsers of this machine. Others get
// nothing unless they are let in, and then by a token.
//
// A browser shows pages of anybody, and they can reach localhost: so a request has to
// name this machine as its host (see cors.Hosts), and pages of other origins may read
// nothing unless they are allowed to.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loopcheck/loopcheck/harness/serve/files"
	"github.com/loopcheck/loopcheck/harness/serve/mock"
	"github.com/loopcheck/loopcheck/probe/cors"
)

// Options says what is served, where and to whom.
type Options struct {
	// Dir is the folder to serve, and Routes the file of what is made up; one of
	// them may be empty. Where a route and a file fit, the route answers.
	Dir, Routes string
	// Dotfiles and SinglePage are those of files.Handler.
	Dotfiles, SinglePage bool

	// Addresses are the machine's own to listen on, at one Port; 0 is a free one.
	Addresses []netip.Addr
	Port      uint16
	// Inherited are listeners that somebody else made, in the place of Addresses
	// and Port.
	Inherited []net.Listener

	// Hosts are the names and addresses that the server is called by beside localhost
	// and the address that a request came to, as browsers send them: in lower case,
	// in ASCII, without a port and brackets.
	Hosts []string
	// Token has to come with each request; empty asks for none.
	Token string
	// CORS says which pages of other origins may read what is served.
	CORS cors.Policy
	// TLS serves HTTPS, with a certificate made for the run.
	TLS bool

	Limits Limits
	// Log is told of each request when it has ended, one at a time; nil for nobody.
	Log func(Entry)
	// Say is told in a line of what else happens, one at a time; nil for nobody.
	Say func(string)
}

// Server serves until it is told to stop.
type Server struct {
	options   Options
	folder    *os.Root // of Options.Dir
	routesDir *os.Root // of Options.Routes
	files     *files.Handler
	routes    atomic.Pointer[mock.Handler]
	authority *authority
	pool      *pool
	listeners []net.Listener
	http      *http.Server
	stop      chan struct{} // closed when the server begins to stop
	active    atomic.Int64
	mu        sync.Mutex // of Log and Say

	reloading sync.Mutex // of what follows, and of setting routes
	read      state      // of Options.Routes when it was read
}

// New reads what is to be served. Nothing listens yet. An error of the user's making
// is a *userfile.Error, a *FolderError, or one of cors.Policy.Validate.
func New(o Options) (*Server, error) {
	if err := o.CORS.Validate(); err != nil {
		return nil, err
	}
	s := &Server{options: o, stop: make(chan struct{}), pool: newPool(o.Limits)}
	if err := s.open(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// FolderError says that a folder cannot be served.
type FolderError struct {
	Path string
	Err  error
}

func (e *FolderError) Error() string { return fmt.Sprintf("%s cannot be served: %v", e.Path, e.Err) }

func (e *FolderError) Unwrap() error { return e.Err }

func (s *Server) open() error {
	if s.options.Dir != "" {
		root, err := os.OpenRoot(s.options.Dir)
		if err != nil {
			return &FolderError{s.options.Dir, withoutPath(err)}
		}
		s.folder = root
		s.files = &files.Handler{Root: root, Dotfiles: s.options.Dotfiles, SinglePage: s.options.SinglePage}
	}
	if s.options.Routes != "" {
		dir := filepath.Dir(s.options.Routes)
		root, err := os.OpenRoot(dir)
		if err != nil {
			return &FolderError{dir, withoutPath(err)}
		}
		s.routesDir = root
		return s.Reload()
	}
	return nil
}

// withoutPath is the reason of an error whose path is said already.
func withoutPath(err error) error {
	if named, ok := errors.AsType[*fs.PathError](err); ok {
		return named.Err
	}
	return err
}

func (s *Server) close() {
	for _, l := range s.listeners {
		_ = l.Close()
	}
	for _, root := range []*os.Root{s.folder, s.routesDir} {
		if root != nil {
			_ = root.Close()
		}
	}
}

// Reload reads the routes anew. Where they are not right those that are there stay,
// and the error says why.
func (s *Server) Reload() error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	return s.reload(stateOf(s.options.Routes))
}

// reloadChanged is Reload where the file is not as it was when it was read last.
func (s *Server) reloadChanged() (changed bool, err error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	now := stateOf(s.options.Routes)
	if now == s.read {
		return false, nil
	}
	return true, s.reload(now)
}

// reload needs the state of before: what changes meanwhile is read again.
func (s *Server) reload(before state) error {
	s.read = before
	f, err := mock.ReadFile(s.options.Routes, s.routesDir)
	if err != nil {
		return err
	}
	s.routes.Store(mock.NewHandler(f, s.routesDir, mock.Options{MaxBodyBytes: s.options.Limits.BodyBytes, Stop: s.stop}))
	return nil
}

// answer is the innermost handler: routes first, then files.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	routes := s.routes.Load()
	switch {
	case s.files == nil:
		routes.ServeHTTP(w, r)
	case routes == nil:
		s.files.ServeHTTP(w, r)
	case routes.Knows(r), !isRead(r) && routes.KnowsPath(r):
		routes.ServeHTTP(w, r)
	default:
		s.files.ServeHTTP(w, r)
	}
}

// isRead tells the requests that a file may answer. A route with the same path and
// other methods does not hide it.
func isRead(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
}

func (s *Server) handler() http.Handler {
	var h http.Handler = http.HandlerFunc(s.answer)
	if s.options.Token != "" {
		h = newGuard(s.options.Token, s.port(), s.options.TLS, h)
	}
	if len(s.options.CORS.Origins) > 0 {
		h = s.options.CORS.Handler(h)
	}
	return s.logged(s.hurried(s.addressed(h)))
}

// hurried bounds how long the body of a request may take to come.
// http.Server.ReadTimeout would go on after that, and end answers that take longer.
func (s *Server) hurried(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.options.Limits.BodyTime))
		}
		next.ServeHTTP(w, r)
	})
}

// CutError says that requests were under way when the time to end them was over.
type CutError struct {
	Requests int64
	After    time.Duration
}

func (e *CutError) Error() string {
	return fmt.Sprintf("cut off after %v: %s", e.After, underWay(e.Requests))
}

// underWay is "1 request" or "2 requests".
func underWay(requests int64) string {
	if requests == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", requests)
}

// drainTime is how long requests may take to end once the server is to stop: a person
// has pressed Ctrl-C and waits.
const drainTime = 5 * time.Second

// Serve serves until the context ends, then takes no more connections, lets requests
// end and returns: a *CutError where some did not. The server is used up then.
func (s *Server) Serve(ctx context.Context) error {
	defer s.close()
	base, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: s.options.Limits.HeaderTime,
		IdleTimeout:       s.options.Limits.IdleTime,
		MaxHeaderBytes:    s.options.Limits.HeaderBytes,
		ErrorLog:          log.New(errorLines{s}, "", 0),
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withReset,
		ConnState:         s.pool.track,
	}
	if s.authority != nil {
		s.http.TLSConfig = s.authority.config()
	}
	ended := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		go func() {
			if s.authority != nil {
				ended <- s.http.ServeTLS(l, "", "")
				return
			}
			ended <- s.http.Serve(l)
		}()
	}
	var watching sync.WaitGroup
	if s.options.Routes != "" {
		watching.Go(func() { s.watch(ctx) })
	}
	var err error
	running := len(s.listeners)
	select {
	case <-ctx.Done():
	case err = <-ended:
		running--
	}
	err = errors.Join(err, s.drain())
	cancel()
	for range running {
		<-ended
	}
	watching.Wait()
	return err
}

func (s *Server) drain() error {
	close(s.stop)
	s.pool.drain()
	if n := s.active.Load(); n > 0 {
		s.say(fmt.Sprintf("%s to end, within %v", underWay(n), s.options.Limits.DrainTime))
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Limits.DrainTime)
	defer cancel()
	if s.http.Shutdown(ctx) == nil {
		return nil
	}
	cut := s.active.Load()
	_ = s.http.Close()
	if cut == 0 {
		return nil
	}
	return &CutError{cut, s.options.Limits.DrainTime}
}

// withReset gives the requests of a connection the way to reset it.
func withReset(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}
	return mock.WithReset(ctx, c.(*conn).reset)
}

// errorLines are what net/http has to say of a connection.
type errorLines struct{ s *Server }

func (e errorLines) Write(line []byte) (int, error) {
	e.s.say(string(line))
	return len(line), nil
}

func (s *Server) say(line string) {
	if s.options.Say == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options.Say(line)
}

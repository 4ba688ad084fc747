package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/serve"
	"github.com/loopcheck/loopcheck/probe/cors"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/userfile"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	mock              string
	port              int
	listen            []string
	tokenFile         string
	hosts             []string
	origins           []string
	credentials       bool
	dotfiles, spa     bool
	tls               bool
	writeCA           string
	json, quiet       bool
	addressesAreGiven bool // on the command line
}

func newServe(a *app) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve [DIR]",
		Short: "Serve a folder, or made-up answers, to programs and browsers of this machine",
		Long: `Serve is a web server for this machine alone. It serves the files of a folder, and
with --mock the endpoints that a YAML file describes: their status, headers and
body, how long they take, and what goes wrong with them. A change of the file, or
SIGHUP, has it read anew; a broken one leaves those that are there.

  routes:
    - route: GET /users/{id}          # as in Go's http.ServeMux
      json: {id: "${path.id:number}", name: Ada}
      delay: {p50: 20ms, p99: 200ms}
    - route: POST /orders
      answers:                        # in turn; the last again and again
        - {status: 503, headers: {Retry-After: "1"}}
        - {status: 201, text: "done"}
    - route: /flaky
      text: fine
      fault: reset                    # or close, close-after-headers, truncate, hang
      share: 0.1                      # of the requests

It prints its address on stdout once it listens, and a line on stderr for each
request. A request has to name localhost, a name below it, an address of loopback,
or a --host. With --listen, other machines may ask too, with the token that stands in
the address that is printed. Socket activation works (sd_listen_fds(3)), and readiness
is told (sd_notify(3)).

The first Ctrl-C lets requests end, for 5 seconds at most; the second stops at once.

docs/serve.md describes every key of the routes, docs/routes.schema.json is their
schema.`,
		Example: "  loopcheck serve .\n  loopcheck serve --mock routes.yaml --cors http://localhost:5173\n  loopcheck serve dist --spa --tls --write-ca ca.pem\n  loopcheck serve . --listen 0.0.0.0 --port 8080",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("serve takes one folder, but was given %q too", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.addressesAreGiven = cmd.Flags().Changed("listen") || cmd.Flags().Changed("port")
			return a.serve(o, strings.Join(args, ""))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.mock, "mock", "", "answer by the routes in this YAML `FILE`")
	f.IntVar(&o.port, "port", serve.Port, "listen on this `PORT`; 0 for a free one")
	f.StringSliceVar(&o.listen, "listen", []string{"127.0.0.1"}, "listen on these `ADDRESSES` of the machine; beyond loopback with a token")
	f.StringVar(&o.tokenFile, "token-file", "", "ask for the token in this `FILE`, on loopback too")
	f.StringSliceVar(&o.hosts, "host", nil, "answer to these `NAMES` or addresses too, beside localhost")
	f.StringSliceVar(&o.origins, "cors", nil, "let pages of these `ORIGINS` read what is served, such as http://localhost:5173, or * for all")
	f.BoolVar(&o.credentials, "cors-credentials", false, "with --cors: with cookies too")
	f.BoolVar(&o.dotfiles, "dotfiles", false, "serve files and folders whose name begins with a dot")
	f.BoolVar(&o.spa, "spa", false, "serve /index.html where there is no such page")
	f.BoolVar(&o.tls, "tls", false, "serve HTTPS, with a certificate made for the run")
	f.StringVar(&o.writeCA, "write-ca", "", "with --tls: write the certificate that issued it to `FILE`")
	f.BoolVar(&o.json, "json", false, "print the address and each request as a JSON document a line, on stdout")
	f.BoolVar(&o.quiet, "quiet", false, "tell of no request")
	return cmd
}

// corsMaxAge is how long a browser keeps what a preflight says: short, for who
// changes a flag.
const corsMaxAge = time.Minute

// options checks what the flags say together.
func (o serveOptions) options(dir string) (serve.Options, error) {
	options := serve.Options{
		Dir: dir, Routes: o.mock, Dotfiles: o.dotfiles, SinglePage: o.spa,
		Port: uint16(o.port), TLS: o.tls, Limits: serve.DefaultLimits,
	}
	switch {
	case dir == "" && o.mock == "":
		return options, errors.New("serve what? Write a folder, such as `loopcheck serve .`, or --mock FILE")
	case dir == "" && (o.spa || o.dotfiles):
		return options, errors.New("--spa and --dotfiles are about a folder: write it, such as `loopcheck serve .`")
	case o.port < 0 || o.port > 65535:
		return options, fmt.Errorf("--port %d: write a number from 1 to 65535, or 0 for a free one", o.port)
	case o.writeCA != "" && !o.tls:
		return options, errors.New("--write-ca: there is a certificate with --tls only: write both")
	case o.credentials && len(o.origins) == 0:
		return options, errors.New("--cors-credentials: write --cors ORIGIN too")
	case o.json && o.quiet:
		return options, errors.New("--json and --quiet: write one of them")
	}
	for _, text := range o.hosts {
		host, err := parseHost(text)
		if err != nil {
			return options, err
		}
		options.Hosts = append(options.Hosts, host)
	}
	var err error
	if options.CORS, err = o.policy(); err != nil {
		return options, fmt.Errorf("--cors: %w", err)
	}
	if options.Addresses, err = o.addresses(); err != nil {
		return options, err
	}
	if options.Inherited, err = inheritedListeners(); err != nil {
		return options, err
	}
	if len(options.Inherited) > 0 && o.addressesAreGiven {
		return options, errors.New("--listen and --port: a listener was passed on (LISTEN_FDS): leave them out")
	}
	if o.tokenFile != "" {
		if options.Token, err = readToken(o.tokenFile); err != nil {
			return options, fmt.Errorf("--token-file: %w", err)
		}
	} else if !onlyLoopback(options) {
		options.Token = serve.NewToken()
	}
	return options, nil
}

// parseHost brings a name or an address into the form that browsers send as a host.
func parseHost(text string) (string, error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil && addr.Zone() == "" { // URLs have no zones
		return addr.Unmap().String(), nil
	}
	host := strings.ToLower(strings.TrimSuffix(text, "."))
	emptyLabel := slices.Contains(strings.Split(host, "."), "")
	// A name is right where it is that of an origin.
	if origin, err := cors.ParseOrigin("http://" + host); err != nil || origin != "http://"+host || strings.Contains(host, ":") || emptyLabel {
		return "", fmt.Errorf("--host %q: write a name without port and path, such as dev.example.test, what is beyond ASCII as xn--…, or an address", text)
	}
	return host, nil
}

// policy lets the pages of the origins do what an API needs.
func (o serveOptions) policy() (cors.Policy, error) {
	if len(o.origins) == 0 {
		return cors.Policy{}, nil
	}
	p := cors.Policy{
		Methods: []string{"DELETE", "PATCH", "PUT"}, Headers: []string{cors.Any}, MaxAge: corsMaxAge, Credentials: o.credentials,
		Expose: []string{"Content-Range", "ETag", "Link", "Location", "Retry-After", "X-Total-Count"},
	}
	for _, text := range o.origins {
		origin := text
		if text != cors.Any {
			var err error
			if origin, err = cors.ParseOrigin(text); err != nil {
				return p, err
			}
		}
		p.Origins = append(p.Origins, origin)
	}
	return p, p.Validate()
}

func (o serveOptions) addresses() (all []netip.Addr, err error) {
	for _, text := range o.listen {
		addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
		if err != nil {
			return nil, fmt.Errorf("--listen %q is no address: write one of this machine's own, such as 127.0.0.1, or 0.0.0.0 for all", text)
		}
		addr = addr.Unmap()
		if own, _, err := iface.Owns(addr); !addr.IsUnspecified() && (err != nil || !own) {
			return nil, fmt.Errorf("--listen %s is no address of this machine: write one of its own, such as 127.0.0.1, or 0.0.0.0 for all", addr)
		}
		for _, other := range all {
			switch {
			case other == addr:
				return nil, fmt.Errorf("--listen %s stands twice: write it once", addr)
			case holds(addr, other):
				return nil, fmt.Errorf("--listen: %s holds %s already: write one of them", addr, other)
			case holds(other, addr):
				return nil, fmt.Errorf("--listen: %s holds %s already: write one of them", other, addr)
			}
		}
		all = append(all, addr)
	}
	if len(all) == 0 {
		return nil, errors.New("--listen: write an address, such as 127.0.0.1")
	}
	return all, nil
}

// holds says whether who listens on an address has another one with it. A listener of
// :: is one of IPv4 too.
func holds(addr, other netip.Addr) bool {
	return addr.IsUnspecified() && (addr.Is6() || other.Is4())
}

func onlyLoopback(o serve.Options) bool {
	if len(o.Inherited) > 0 {
		return !slices.ContainsFunc(o.Inherited, func(l net.Listener) bool {
			at, err := netip.ParseAddrPort(l.Addr().String())
			return err == nil && !at.Addr().Unmap().IsLoopback()
		})
	}
	return !slices.ContainsFunc(o.Addresses, func(a netip.Addr) bool { return !a.IsLoopback() })
}

// leastToken and mostToken bound a token in characters; fewer could be guessed.
const (
	leastToken = 16
	mostToken  = 1024
)

func readToken(path string) (string, error) {
	content, err := userfile.Read(path, "a token")
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(content))
	odd := strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`",;\`, c) })
	if len(token) < leastToken || len(token) > mostToken || odd {
		return "", fmt.Errorf("%s: a token has from %d to %d letters, digits and signs other than \" , ; and \\: `openssl rand -hex 16` makes one", path, leastToken, mostToken)
	}
	return token, nil
}

func (a *app) serve(o serveOptions, dir string) error {
	options, err := o.options(dir)
	if err != nil {
		return &usageError{err}
	}
	out := &serveOutput{app: a, json: o.json, quiet: o.quiet}
	options.Say = out.say
	if !o.quiet {
		options.Log = out.request
	}
	server, err := serve.New(options)
	if err != nil {
		return &usageError{err}
	}
	ctx, stop := interruptible()
	if err := server.Listen(ctx); err != nil {
		return whyNotListening(err)
	}
	if o.writeCA != "" {
		if err := folder.Write(o.writeCA, func(w io.Writer) error { _, err := w.Write(server.Certificate()); return err }); err != nil {
			return usagef("--write-ca: %w: choose another file", err)
		}
	}
	if o.mock != "" {
		defer onHangup(server.ReloadAndSay)()
	}
	urls := server.URLs()
	if options.Token != "" && o.tokenFile == "" {
		for i := range urls {
			urls[i] += "?token=" + options.Token
		}
	}
	if err := out.listening(urls); err != nil {
		return err
	}
	out.say(o.summary(options))
	if err := tellManager("READY=1"); err != nil {
		out.say(err.Error())
	}
	told := make(chan struct{})
	untold := context.AfterFunc(ctx, func() {
		defer close(told)
		_ = tellManager("STOPPING=1")
	})
	err = server.Serve(ctx)
	if !untold() {
		<-told
	}
	if cut, ok := errors.AsType[*serve.CutError](err); ok {
		out.say(cut.Error())
	}
	return stop.or(err)
}

// summary says what is served, and to whom where that is not this machine alone.
func (o serveOptions) summary(options serve.Options) string {
	var what []string
	if options.Dir != "" {
		what = append(what, options.Dir)
	}
	if options.Routes != "" {
		what = append(what, "the routes of "+options.Routes)
	}
	text := "serving " + strings.Join(what, " and ")
	if !onlyLoopback(options) {
		text += ", to other machines too, which need the token"
		if !options.TLS {
			text += "; the network sees it without --tls"
		}
	}
	return text
}

// whyNotListening says what to write instead.
func whyNotListening(err error) error {
	if taken, ok := errors.AsType[*serve.PortTakenError](err); ok {
		return usagef("%w: write --port 0 for a free one, or another --port", taken)
	}
	if refused, ok := errors.AsType[*serve.PrivilegeError](err); ok {
		return usagef("%w: write --port %d, or another from 1024 up", refused, serve.Port)
	}
	return err
}

// serveOutput prints what a server tells of. Its methods are called one at a time,
// but for listening, which comes first.
type serveOutput struct {
	app         *app
	json, quiet bool
}

// listening prints where the server is to be found.
func (s *serveOutput) listening(urls []string) error {
	if s.json {
		return json.NewEncoder(s.app.stdout).Encode(map[string]any{"event": "listening", "urls": urls})
	}
	_, err := fmt.Fprintln(s.app.stdout, strings.Join(urls, "\n"))
	return err
}

// request prints a line. Who reads it may be gone; the server is still wanted.
func (s *serveOutput) request(e serve.Entry) {
	if s.json {
		_ = json.NewEncoder(s.app.stdout).Encode(struct {
			Event string `json:"event"`
			serve.Entry
		}{"request", e})
		return
	}
	_, _ = fmt.Fprintln(s.app.stderr, inOneLine(e.String()))
}

func (s *serveOutput) say(line string) {
	_, _ = fmt.Fprintf(s.app.stderr, "loopcheck: %s\n", inOneLine(strings.TrimSpace(line)))
}

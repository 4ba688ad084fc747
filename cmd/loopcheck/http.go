package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"

	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/webcheck"
)

// httpOptions are the flags of http.
type httpOptions struct {
	ca       string
	insecure bool
	headers  []string
	timeout  time.Duration
	json     bool
	failOn   []string
}

func newHTTP(a *app) *cobra.Command {
	var o httpOptions
	cmd := &cobra.Command{
		Use:   "http URL",
		Short: "Check and time a web server on this machine",
		Long: `Http asks a web server on this machine what clients, browsers and caches rely on:
the versions of HTTP and TLS it speaks, its certificate, kept connections, HEAD,
conditional requests, ranges, compression, headers for caches and browsers, error
pages, whether it refuses names that are not its own (DNS rebinding), what it lets
pages of other origins read (CORS), and who can reach it. It measures the steps of
a request cold and warm, over 1 and over 64 connections.

It sends GET, HEAD and OPTIONS alone. A URL that leads to another machine is
refused, no name server is asked, and redirects that lead elsewhere are not followed.

Exit codes: 0 no check failed; 1 one did; 2 the URL or a flag is wrong.`,
		Example: "  loopcheck http http://localhost:8080/\n  loopcheck http https://localhost:8443/ --ca ca.pem --json\n  loopcheck http http://127.0.0.1:3000/api/items --header 'Authorization: Bearer TOKEN'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("http takes one URL, but was given %d: write it as http://localhost:8080/", len(args))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.http(args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.ca, "ca", "", "trust the certificate authorities in `FILE` (PEM) in the place of the system's")
	f.BoolVar(&o.insecure, "insecure", false, "do not judge the certificate")
	f.StringArrayVar(&o.headers, "header", nil, "send `'NAME: VALUE'` with each request; may be repeated")
	f.DurationVar(&o.timeout, "timeout", webcheck.DefaultTimeout, "give each request so long")
	f.BoolVar(&o.json, "json", false, "print one JSON document instead of the summary")
	f.StringSliceVar(&o.failOn, "fail-on", nil, "exit 1 also when a check has one of these `STATES`: warn, skip, inconclusive")
	return cmd
}

// options checks what the flags say together.
func (o httpOptions) options(ctx context.Context, url string) (webcheck.Options, error) {
	options := webcheck.Options{Insecure: o.insecure, Timeout: o.timeout, Header: http.Header{}}
	for _, state := range o.failOn {
		if err := oneOf("--fail-on", state, "warn", "skip", "inconclusive"); err != nil {
			return options, err
		}
	}
	if o.timeout <= 0 {
		return options, fmt.Errorf("--timeout %v: write a duration above 0, such as 5s", o.timeout)
	}
	if o.insecure && o.ca != "" {
		return options, errors.New("--ca and --insecure: write one of them, --insecure judges no certificate")
	}
	for _, header := range o.headers {
		name, value, found := strings.Cut(header, ":")
		value = strings.TrimSpace(value)
		if !found || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return options, fmt.Errorf("--header %q is no header: write it as 'Authorization: Bearer TOKEN'", header)
		}
		options.Header.Add(name, value)
	}
	if o.ca != "" {
		text, err := os.ReadFile(o.ca)
		if err != nil {
			return options, fmt.Errorf("--ca: %w: write the name of a PEM file", err)
		}
		options.Roots = x509.NewCertPool()
		if !options.Roots.AppendCertsFromPEM(text) {
			return options, fmt.Errorf("--ca: %s holds no certificate: write the name of a PEM file (-----BEGIN CERTIFICATE-----)", o.ca)
		}
	}
	var err error
	options.Target, err = webcheck.ParseTarget(ctx, url)
	return options, err
}

// withoutValues are the arguments of http with the names alone of the headers, whose
// values may be secrets.
func withoutValues(args []string) []string {
	return withValues(args, "--header", func(header string) string {
		name, _, _ := strings.Cut(header, ":")
		return name + ": ..."
	})
}

func (a *app) http(url string, o httpOptions) error {
	ctx, stop := interruptible()
	options, err := o.options(ctx, url)
	if err != nil {
		return stop.or(&usageError{err})
	}
	result, err := webcheck.Run(ctx, options)
	if err != nil {
		return stop.or(err)
	}
	result.Tool, result.Command = tool(), append([]string{"loopcheck"}, withoutValues(os.Args[1:])...)
	stop.enter(printing)
	if o.json {
		err = webcheck.JSON(result)(a.stdout)
	} else {
		err = webcheck.Text(result, host.Read(), report.Style{Color: a.colored(a.stdout), Width: columns(a.stdout)})(a.stdout)
	}
	if err := ignoreClosedPipe(err); err != nil {
		return err
	}
	return exitFor(&report.Report{Summary: result.Summary}, o.failOn, stop.code())
}

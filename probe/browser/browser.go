// Package browser answers what pages may do, as a real browser enforces it: it starts
// a headless Chromium that asks the network for nothing of its own.
//
// Whoever starts one where it could reach other machines names the hosts it may
// resolve; in a sandbox (package sandbox) there is none to be reached, and the
// browser and all that it forks end with the sandbox, however that ends.
package browser

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
)

// Package is what to install where there is no browser.
const Package = "chromium"

// ErrNone says that no browser is installed.
var ErrNone = errors.New("no Chromium is installed")

// Find returns the paths of the installed Chromium and Chrome, each program once. The
// error is ErrNone.
func Find() (paths []string, err error) {
	var programs []string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		program, err := filepath.EvalSymlinks(path)
		if err != nil || slices.Contains(programs, program) {
			continue
		}
		paths, programs = append(paths, path), append(programs, program)
	}
	if len(paths) == 0 {
		return nil, ErrNone
	}
	return paths, nil
}

// InsideOnly is the rules of a browser (--host-resolver-rules) that resolves nothing
// but the names of loopback, which Chromium does by itself (RFC 6761, section 6.3),
// and those of the map, which are names of this machine's addresses.
func InsideOnly(names map[string]string) string {
	rules := ""
	for _, name := range slices.Sorted(maps.Keys(names)) {
		rules += fmt.Sprintf("MAP %s %s, ", name, names[name])
	}
	return rules + "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1, EXCLUDE ::1, EXCLUDE [::1]"
}

// Options says how to start a browser.
type Options struct {
	// Folder is where the profile and everything else that the browser writes goes.
	// Its path has to be short: that of a socket in it may have 108 bytes (unix(7)).
	Folder string
	// Flags are further ones of the command line, by their names.
	Flags map[string]string
	// Listener is told of the events of the first page, where there is one.
	Listener func(event any)
}

// tryTimeout bounds the start of a browser where there is another one to try. It takes
// a second or two, and many times that on a busy machine. Tests shorten it.
var tryTimeout = 10 * time.Second

// Start starts a browser: the first of those installed that can be, since one may be a
// stand-in that only tells how to install it. The context that it returns is that of
// its first page, for chromedp's actions; stop closes the browser and waits until it is
// gone. The browser is killed when ctx ends. The error is ErrNone where none is
// installed, and otherwise names each that was tried.
func Start(ctx context.Context, o Options) (page context.Context, stop func() error, err error) {
	paths, err := Find()
	if err != nil {
		return nil, nil, err
	}
	var failed error
	for i, path := range paths {
		limit := tryTimeout
		if i == len(paths)-1 {
			limit = 0
		}
		// What one has left of its profile would be in the way of the next.
		page, stop, err := start(ctx, limit, path, filepath.Join(o.Folder, fmt.Sprintf("profile%d", i)), o)
		if err == nil {
			return page, stop, nil
		}
		err = &startError{path, err}
		if failed != nil {
			err = fmt.Errorf("%w; %w", failed, err)
		}
		if failed = err; ctx.Err() != nil {
			break
		}
	}
	return nil, nil, failed
}

// startError is on one line, though a browser may have written several.
type startError struct {
	path string
	err  error
}

func (e *startError) Error() string {
	return "start " + e.path + ": " + strings.Join(strings.Fields(e.err.Error()), " ")
}

func (e *startError) Unwrap() error { return e.err }

// start starts one browser, within a limit where there is one.
func start(ctx context.Context, limit time.Duration, path, profile string, o Options) (page context.Context, stop func() error, err error) {
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.UserDataDir(profile),
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("no-pings", true),
		// Crash reports and sockets go where the rest of the profile does.
		chromedp.Env("HOME="+profile, "TMPDIR="+o.Folder),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses root
	}
	for name, value := range o.Flags {
		options = append(options, chromedp.Flag(name, value))
	}
	var contextOptions []chromedp.ContextOption
	if o.Listener != nil {
		contextOptions = append(contextOptions, chromedp.WithListener(o.Listener))
	}
	allocator, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	page, cancel := chromedp.NewContext(allocator, contextOptions...)
	stop = func() error {
		err := chromedp.Cancel(page) // closes the browser and waits for it
		cancel()
		cancelAllocator()
		return err
	}
	inTime := func() bool { return true }
	if limit > 0 {
		inTime = time.AfterFunc(limit, cancelAllocator).Stop
	}
	err = chromedp.Do(page)
	if !inTime() {
		err = fmt.Errorf("it took longer than %v", limit)
	}
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return page, stop, nil
}

// Major is the version of the browser whose page it is.
func Major(page context.Context) (int, error) {
	version, err := call(page, browser.GetVersion, cdp.Empty{})
	if err != nil {
		return 0, fmt.Errorf("ask the browser for its version: %w", err)
	}
	_, number, _ := strings.Cut(version.Product, "/") // "HeadlessChrome/142.0.7444.59"
	number, _, _ = strings.Cut(number, ".")
	major, err := strconv.Atoi(number)
	if err != nil {
		return 0, fmt.Errorf("read the browser's version %q: %w", version.Product, err)
	}
	return major, nil
}

// twoPermissions is the version since which connecting to loopback has a permission
// of its own, apart from that for the local network
// (https://wicg.github.io/local-network-access/).
const twoPermissions = 145

// AllowLoopback gives the pages of an origin what a user is asked for: leave to
// connect to loopback.
func AllowLoopback(page context.Context, origin string) error {
	major, err := Major(page)
	if err != nil {
		return err
	}
	name := "loopback-network"
	if major < twoPermissions {
		name = "local-network-access"
	}
	_, err = call(page, browser.SetPermission, browser.SetPermissionParams{
		Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted, Origin: origin,
	})
	if err != nil {
		return fmt.Errorf("allow %s to connect to loopback: %w", origin, err)
	}
	return nil
}

// call gives a command of the DevTools protocol and returns its result.
func call[P, R any](page context.Context, c cdp.Command[P, R], params P) (result R, err error) {
	err = chromedp.Do(page, chromedp.Func(func(ctx context.Context, target *chromedp.Target) (err error) {
		result, err = cdp.Call(ctx, target, c, params)
		return err
	}))
	return result, err
}

package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/browser"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// corsDeadline bounds a check with a browser, which starts within a second or two; a
// busy machine may need many times that.
const corsDeadline = 40 * time.Second

// visitDeadline bounds one visit, which takes a fraction of a second: one page that
// hangs leaves the others their time.
const visitDeadline = 10 * time.Second

// visit is a page that is opened, by its site and path, and a script that runs in it.
// Without a path any page of the site will do, the one before too. The script is the
// body of an async function, which returns an object of strings. In it, IPV6 says
// whether there is ::1, at(site, path) is the URL of a check's own path, and ask(URL,
// options) is a fetch(): it returns "read" with the status where the page may read the
// answer, and "refused" where not.
type visit struct {
	site, path, script string
	// granted lets the site connect to loopback.
	granted bool
}

// prelude is what the scripts begin with.
const prelude = `
const at = (site, path) => site + "/" + ID + "/" + path;
const ask = async (url, options) => {
	try {
		const response = await fetch(url, {cache: "no-store", signal: AbortSignal.timeout(5000), ...options});
		await response.text();
		return "read, " + response.status;
	} catch (error) {
		return error.name === "TimeoutError" ? "` + noAnswer + `" : "refused";
	}
};`

// seenInBrowser is what the browser did for one check.
type seenInBrowser struct {
	// Answers is what the scripts returned.
	Answers map[string]string `json:"answers"`
	// Hits is what the servers were asked, the pages themselves left out.
	Hits []hit `json:"hits"`
	// IPv6 says whether the sites were on ::1 as well.
	IPv6 bool `json:"ipv6"`
	// Broken says how a visit itself failed, and Late that this was for want of time.
	Broken string `json:"broken,omitempty"`
	Late   bool   `json:"late,omitempty"`
}

// unanswered says whether a visit, or a request of its script, ran out of time.
func (s seenInBrowser) unanswered() bool {
	return s.Late || slices.Contains(slices.Collect(maps.Values(s.Answers)), noAnswer)
}

// browsed is what a browser did for all of them.
type browsed struct {
	// Unable says how it did not start.
	Unable string `json:"unable,omitempty"`
	// Major is the browser's version.
	Major int                      `json:"major"`
	Seen  map[string]seenInBrowser `json:"seen"`
	// installed are the paths of those that there are.
	installed []string
	// load is the machine's since it began.
	load *spec.Load
}

// visits are those of the checks, by their IDs. They are known to both processes.
var visits = map[string][]visit{}

var browse = sandbox.Register("http/browse", func(ctx context.Context, _ *sandbox.Inside, ids []string) (b browsed, err error) {
	s, err := startSites(ctx)
	if err != nil {
		return b, err
	}
	defer s.close()
	// TMPDIR is a file system in memory, which ends with the sandbox.
	folder, err := os.MkdirTemp("", "b")
	if err != nil {
		return b, fmt.Errorf("make a folder for the browser: %w", err)
	}
	page, stop, err := browser.Start(ctx, browser.Options{Folder: folder, Flags: map[string]string{
		"host-resolver-rules":        browser.InsideOnly(map[string]string{foreignName: "127.0.0.1"}),
		"ip-address-space-overrides": "127.0.0.1:" + publicPort + "=public,[::1]:" + publicPort + "=public",
		"process-per-site":           "true",
		"ignore-certificate-errors":  "true", // that of the sites is of this run's own authority
	}})
	if err != nil {
		return browsed{Unable: err.Error()}, nil
	}
	b = browsed{Seen: map[string]seenInBrowser{}}
	if b.Major, err = browser.Major(page); err == nil {
		s.visitAll(page, ids, b.Seen)
	}
	return b, errors.Join(err, stop())
})

// visitAll makes the visits of some checks, those of one check in their order. What
// shares a site comes together: the browser starts a process for each site.
func (s *sites) visitAll(page context.Context, ids []string, all map[string]seenInBrowser) {
	left := map[string][]visit{}
	for _, id := range ids {
		left[id] = visits[id]
		all[id] = seenInBrowser{Answers: map[string]string{}, IPv6: s.ipv6}
	}
	next := func(id string) bool { return len(left[id]) > 0 && left[id][0].site == s.site }
	for len(ids) > 0 {
		at := max(0, slices.IndexFunc(ids, next))
		id := ids[at]
		v := left[id][0]
		left[id] = left[id][1:]
		seen := all[id]
		if s.ipv6 || !strings.Contains(v.site, "[::1]") {
			answers, err := s.run(page, id, v)
			if err != nil {
				seen.Broken = fmt.Sprintf("%s/%s: %v", v.site, v.path, err)
				seen.Late = errors.Is(err, context.DeadlineExceeded)
				left[id], s.site = nil, "" // the page may still be at work
			}
			maps.Copy(seen.Answers, answers)
		}
		if len(left[id]) == 0 {
			seen.Hits = s.of(id)
			ids = slices.Delete(slices.Clone(ids), at, at+1)
		}
		all[id] = seen
	}
}

// run makes one visit.
func (s *sites) run(page context.Context, id string, v visit) (map[string]string, error) {
	page, cancel := context.WithTimeout(page, visitDeadline)
	defer cancel()
	if v.granted {
		if err := browser.AllowLoopback(page, v.site); err != nil {
			return nil, err
		}
	}
	if v.path != "" || s.site != v.site {
		url := fmt.Sprintf("%s/%s/%s", v.site, id, cmp.Or(v.path, "nobody"))
		mark := "?" + opened
		if strings.Contains(url, "?") {
			mark = "&" + opened
		}
		s.site = ""
		if err := chromedp.Do(page, chromedp.Navigate(url+mark)); err != nil {
			return nil, err
		}
		s.site = v.site
	}
	script := fmt.Sprintf("(async () => {const ID = %q, IPV6 = %t;%s\n%s})()", id, s.ipv6, prelude, v.script)
	return chromedp.Run(page, chromedp.Evaluate[map[string]string](script, chromedp.EvalAwaitPromise))
}

// browsing is done once for all of the checks, since a browser is too dear to be
// started for each of them.
var browsing = spec.Prepare(suite,
	func(c check.Check) bool { return visits[c.ID] != nil },
	func(ctx context.Context) (b browsed, err error) {
		load := spec.StartLoad()
		installed, err := browser.Find()
		if err == nil {
			b, err = browseInside(ctx)
		}
		b.installed, b.load = installed, &load
		return b, err
	},
	func(browsed) {}) // the browser has ended with its sandbox

func browseInside(ctx context.Context) (b browsed, err error) {
	box, err := sandbox.Start(ctx, sandbox.Config{})
	if err != nil {
		return b, err
	}
	defer box.Close()
	return browse.Call(ctx, box, "", slices.Sorted(maps.Keys(visits)))
}

// aBrowser is what the checks need that ask one.
var aBrowser = check.Need{Name: "a Chromium", How: "install Debian's package " + browser.Package}

// What the checks with a browser share.
const (
	otherPolicy = "a managed policy of the machine, a flag in /etc/chromium.d or an extension changes what the browser enforces"
	otherServer = "a program between the browser and the server (a proxy that is preloaded, an antivirus, a user-space stack) changes or adds requests"
	seePolicy   = "look at chrome://policy and at /etc/chromium.d, and take away what changes web security"
	seeServer   = "look with `loopcheck http URL` at what a server of this machine answers"
)

// enforces declares a check that opens pages in a browser and judges what they and
// the servers saw. A browser before the version since does not do it yet.
func enforces(text string, since int, c check.Check, all []visit, judge func(seenInBrowser)) bool {
	c.Needs = append(c.Needs, aBrowser, check.Sandbox)
	c.Timeout = corsDeadline
	c.OS = "linux"
	c.Sandboxed = true
	c.Causes = append(c.Causes, otherPolicy, otherServer)
	c.Remedies = append(c.Remedies, seePolicy, seeServer)
	visits[c.ID] = all
	return suite.It(text, c, func(ctx ginkgo.SpecContext) {
		load := spec.StartLoad()
		b, err := browsing.Await(ctx)
		if errors.Is(err, browser.ErrNone) {
			spec.Skip(aBrowser, err.Error())
		}
		spec.SkipRefused(err)
		if b.load != nil { // it is over
			load = *b.load
		}
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred())
		if b.Unable != "" {
			const arguments = " --headless --dump-dom about:blank`"
			spec.Skip(check.Need{Name: "a Chromium that starts", How: "see why it does not: `" + strings.Join(b.installed, arguments+", `") + arguments}, b.Unable)
		}
		if b.Major < since {
			spec.Skip(check.Need{Name: fmt.Sprintf("Chromium %d", since), How: "upgrade the package " + browser.Package}, fmt.Sprintf("this is Chromium %d", b.Major))
		}
		seen := b.Seen[c.ID]
		if how, starved := load.Starved(); starved && seen.unanswered() {
			spec.Inconclusive("a page or a server did not answer in time, but %s", how)
		}
		Expect(seen.Broken).To(BeEmpty(), "what went wrong in the browser")
		judge(seen)
	})
}

// Package spec is how the suites write their checks: an entry of the catalogue
// and the Ginkgo spec that asks it, declared together and once.
//
//	var suite = spec.NewSuite("udp", "UDP datagrams", 30)
//
//	var _ = suite.It("keeps datagram boundaries", check.Check{ID: "UDP-001", …},
//		func(ctx SpecContext) { … })
//
// Declarations are collected while packages are initialised; the spec tree is
// built from them in the order of the catalogue, so that a run is the same
// from one time to the next.
package spec

import (
	"runtime"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
)

// Suite declares the checks of one topic.
type Suite struct{ name string }

// NewSuite registers a suite. The order places it in a run.
func NewSuite(name, title string, order int) *Suite {
	return register(check.Suite{Name: name, Title: title, Order: order})
}

// NewSuiteOnRequest registers a suite that is left out of a run which neither
// names it nor is full: one about what runs on the stack.
func NewSuiteOnRequest(name, title string, order int) *Suite {
	return register(check.Suite{Name: name, Title: title, Order: order, OnRequest: true})
}

func register(s check.Suite) *Suite {
	check.RegisterSuite(s)
	return &Suite{name: s.Name}
}

// declaration is the spec of one check, before the tree is built.
type declaration struct {
	location types.CodeLocation
	body     func(ginkgo.SpecContext)
}

var declared = map[string]declaration{}

// It declares a check and the spec that asks it. The text reads as a sentence
// about a healthy stack and becomes the check's title. The body must end when
// its context does. The returned value only lets a declaration stand at the
// top level of a file.
func (s *Suite) It(text string, c check.Check, body func(ginkgo.SpecContext)) bool {
	return s.declare(text, c, types.NewCodeLocation(1), body)
}

// declare takes what was declared at a place in a suite's file.
func (s *Suite) declare(text string, c check.Check, at types.CodeLocation, body func(ginkgo.SpecContext)) bool {
	c.Suite, c.Title = s.name, text
	check.Register(c)
	declared[c.ID] = declaration{location: at, body: body}
	return true
}

// One ordered container holds every suite: Ginkgo shuffles what stands at the
// top level, and sorts what stands below by file unless it is told not to.
var _ = ginkgo.Describe("loopback", ginkgo.Ordered, ginkgo.ContinueOnFailure, func() {
	for _, s := range check.Suites() {
		ginkgo.Describe(s.Name, func() {
			for _, c := range check.All() {
				if c.Suite == s.Name {
					build(c)
				}
			}
		})
	}
})

func build(c check.Check) {
	d := declared[c.ID]
	ginkgo.It(c.Title, ginkgo.Label(c.Labels()...), ginkgo.SpecTimeout(c.Deadline()), d.location,
		func(ctx ginkgo.SpecContext) {
			if c.OS != "" && c.OS != runtime.GOOS {
				Skip(check.Linux, "this is "+runtime.GOOS)
			}
			if why := c.Kernels.Outside(kernelRelease()); why != "" {
				Skip(check.Kernel, why)
			}
			useFailHandler()
			if c.Benchmark {
				gomega.Expect(jobs.quiet(ctx)).To(gomega.Succeed())
			}
			d.body(ctx)
		})
}

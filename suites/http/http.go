// Package http holds the checks of what web servers, APIs and browsers need of
// localhost: that HTTP in all its versions works between programs of this machine,
// and what a round trip of it takes. The servers are the run's own.
package http

import "github.com/loopcheck/loopcheck/suites/spec"

var suite = spec.NewSuiteOnRequest("http", "HTTP: web servers and APIs on localhost", 1000)

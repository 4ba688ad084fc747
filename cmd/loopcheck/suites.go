package main

// The suites that this binary carries. Importing one registers its checks.
import (
	_ "github.com/loopcheck/loopcheck/suites/addressing"
	_ "github.com/loopcheck/loopcheck/suites/config"
	_ "github.com/loopcheck/loopcheck/suites/containers"
	_ "github.com/loopcheck/loopcheck/suites/firewall"
	_ "github.com/loopcheck/loopcheck/suites/http"
	_ "github.com/loopcheck/loopcheck/suites/latency"
	_ "github.com/loopcheck/loopcheck/suites/limits"
	_ "github.com/loopcheck/loopcheck/suites/names"
	_ "github.com/loopcheck/loopcheck/suites/ping"
	_ "github.com/loopcheck/loopcheck/suites/ports"
	_ "github.com/loopcheck/loopcheck/suites/tcp"
	_ "github.com/loopcheck/loopcheck/suites/udp"
)

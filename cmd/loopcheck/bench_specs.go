package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// benchChoice is what to measure: lists of which every combination is.
type benchChoice struct {
	transports, ops, engines, placements []string
	sizes, flows, outstanding, rates     []string
	sweep                                string
}

// choiceFlags are those that choose what is measured, but for sweep.
var choiceFlags = []string{"transport", "op", "engine", "placement", "size", "flows", "outstanding", "rate"}

// values are those of one of choiceFlags.
func (c *benchChoice) values(flag string) *[]string {
	return map[string]*[]string{
		"transport": &c.transports, "op": &c.ops, "engine": &c.engines, "placement": &c.placements,
		"size": &c.sizes, "flows": &c.flows, "outstanding": &c.outstanding, "rate": &c.rates,
	}[flag]
}

func (c *benchChoice) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&c.transports, "transport", nil, "measure these `TRANSPORTS`, separated by commas, as are all lists")
	f.StringSliceVar(&c.ops, "op", nil, "measure these `OPERATIONS`, such as rr,crr,stream")
	f.StringSliceVar(&c.engines, "engine", nil, "measure by these `ENGINES`: raw, raw-spin, netconn")
	f.StringSliceVar(&c.placements, "placement", nil, "run client and server on these `PLACEMENTS`, such as same-core,cross-core")
	f.StringSliceVar(&c.sizes, "size", nil, "send these `SIZES` in bytes, such as 1,1400,64KiB")
	f.StringSliceVar(&c.flows, "flows", nil, "use so many `CONNECTIONS` at the same time, such as 1,16")
	f.StringSliceVar(&c.outstanding, "outstanding", nil, "send so many `REQUESTS` of a burst before the first response is read")
	f.StringSliceVar(&c.rates, "rate", nil, "send so many `REQUESTS` per second, whether or not answers come; 0 sends each after the last answer")
	f.StringVar(&c.sweep, "sweep", "", "measure a range of `WHAT`: size (1 B to 1 MiB), flows (1 to 256), rate (1,000 to 100,000 per second)")
}

// sweepable are the values of --sweep.
var sweepable = []string{"size", "flows", "rate"}

// sweeps are the values that a sweep goes through.
var sweeps = map[string][]string{
	"size":  {"1", "16", "64", "256", "1KiB", "4KiB", "16KiB", "64KiB", "256KiB", "1MiB"},
	"flows": {"1", "2", "4", "8", "16", "32", "64", "128", "256"},
	"rate":  {"1000", "2000", "5000", "10000", "20000", "50000", "100000"},
}

// chosen says whether anything was chosen, and the profile's own benchmarks are
// not meant.
func (c *benchChoice) chosen(set func(string) bool) bool {
	return c.sweep != "" || slices.ContainsFunc(choiceFlags, set)
}

// paced says whether a fixed rate is among what was chosen.
func (c *benchChoice) paced() bool { return len(c.rates) > 0 || c.sweep == "rate" }

// specs are the benchmarks to measure, and what was asked for and does not exist.
func (c *benchChoice) specs(profile string, set func(string) bool, processors topology.Topology) (specs []bench.Spec, dropped []string, err error) {
	if !c.chosen(set) {
		return benchProfiles[profile].specs(processors), nil, nil
	}
	for _, flag := range choiceFlags {
		if values := c.values(flag); set(flag) && len(*values) == 0 {
			return nil, nil, fmt.Errorf("--%s is empty: write a value, or leave it out", flag)
		}
	}
	if err := c.applySweep(set); err != nil {
		return nil, nil, err
	}
	product, err := c.product(processors)
	if err != nil {
		return nil, nil, err
	}
	var first error
	for _, s := range product {
		s = s.WithDefaults()
		if err := s.Validate(); err != nil {
			if first == nil {
				first = asFlag(err)
			}
			if note := strings.TrimPrefix(asFlag(err).Error(), "--"); !slices.Contains(dropped, note) {
				dropped = append(dropped, note)
			}
			continue
		}
		pair, err := processors.Pair(s.Placement)
		if absent, ok := errors.AsType[*topology.UnavailableError](err); ok {
			return nil, nil, fmt.Errorf("--placement %s: %w", absent.Placement, absent)
		}
		if err != nil {
			return nil, nil, err
		}
		if s.Placement = pair.Placement; !slices.Contains(specs, s) {
			specs = append(specs, s)
		}
	}
	if len(specs) == 0 {
		return nil, nil, first
	}
	return specs, dropped, nil
}

// asFlag is what cannot be measured, as a mistake of a flag.
func asFlag(err error) error {
	if wrong, ok := errors.AsType[*bench.SpecError](err); ok {
		return fmt.Errorf("--%w", wrong)
	}
	return err
}

func (c *benchChoice) applySweep(set func(string) bool) error {
	if c.sweep == "" {
		return nil
	}
	if err := oneOf("--sweep", c.sweep, sweepable...); err != nil {
		return err
	}
	if set(c.sweep) {
		return fmt.Errorf("--sweep %s and --%s: write one of them", c.sweep, c.sweep)
	}
	*c.values(c.sweep) = sweeps[c.sweep]
	return nil
}

// product is every combination, whether or not there is such a benchmark.
func (c *benchChoice) product(processors topology.Topology) ([]bench.Spec, error) {
	specs := []bench.Spec{{}}
	for _, axis := range []struct {
		values  []string
		missing string // where none are given
		set     func(*bench.Spec, string) error
	}{
		{c.transports, bench.TCP, func(s *bench.Spec, v string) error {
			s.Transport = v
			return oneOf("--transport", v, bench.Transports...)
		}},
		{c.ops, bench.RR, func(s *bench.Spec, v string) error { s.Op = v; return oneOf("--op", v, bench.Ops...) }},
		{c.engines, "", func(s *bench.Spec, v string) error {
			if v == "" {
				return nil
			}
			s.Engine = v
			return oneOf("--engine", v, bench.Engines...)
		}},
		{c.sizes, "", wholeNumber("size", bench.MaxSizeBytes, func(s *bench.Spec) *int { return &s.SizeBytes })},
		{c.flows, "1", wholeNumber("flows", bench.MaxFlows, func(s *bench.Spec) *int { return &s.Flows })},
		{c.outstanding, "", wholeNumber("outstanding", bench.MaxOutstanding, func(s *bench.Spec) *int { return &s.Outstanding })},
		{c.rates, "0", func(s *bench.Spec, v string) (err error) { s.RateHz, err = parseRate(v); return err }},
	} {
		values := axis.values
		if len(values) == 0 {
			values = []string{axis.missing}
		}
		var longer []bench.Spec
		for _, v := range values {
			for _, s := range specs {
				if err := axis.set(&s, strings.TrimSpace(v)); err != nil {
					return nil, err
				}
				longer = append(longer, s)
			}
		}
		specs = longer
	}
	return c.place(specs, processors)
}

// place gives every combination its placements. Without any, a raw engine has both
// ends on one processor and on two, and Go's net package what the scheduler gives.
func (c *benchChoice) place(specs []bench.Spec, processors topology.Topology) ([]bench.Spec, error) {
	var all []bench.Spec
	for _, s := range specs {
		placements := c.placements
		if len(placements) == 0 {
			placements = usualPlacements(s.WithDefaults(), processors)
		}
		for _, p := range placements {
			if err := oneOf("--placement", p, placementNames()...); err != nil {
				return nil, err
			}
			s.Placement = topology.Placement(p)
			all = append(all, s)
		}
	}
	return all, nil
}

func usualPlacements(s bench.Spec, processors topology.Topology) []string {
	if s.Engine == bench.NetConn || len(processors.CPUs) == 0 {
		return []string{string(topology.Free)}
	}
	names := []string{string(topology.SameCore)}
	if _, err := processors.Pair(topology.CrossCore); err == nil {
		names = append(names, string(topology.CrossCore))
	}
	return names
}

// wholeNumber reads the values of a flag into a field. An empty one, which stands
// for a flag that was not given, leaves it unset.
func wholeNumber(flag string, most int, field func(*bench.Spec) *int) func(*bench.Spec, string) error {
	return func(s *bench.Spec, text string) error {
		if text == "" {
			return nil
		}
		n, err := parseCount(text)
		if err != nil || n < 1 || n > most {
			return fmt.Errorf("--%s %s: write 1 to %d%s", flag, text, most, map[bool]string{true: " bytes, such as 1400 or 64KiB"}[flag == "size"])
		}
		*field(s) = n
		return nil
	}
}

// binaryUnits are those that a number may end in.
var binaryUnits = []struct {
	suffix string
	factor int
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"K", 1 << 10}, {"M", 1 << 20}, {"B", 1}}

func parseCount(text string) (int, error) {
	factor := 1
	for _, unit := range binaryUnits {
		if number, found := strings.CutSuffix(text, unit.suffix); found {
			text, factor = number, unit.factor
			break
		}
	}
	n, err := strconv.Atoi(text)
	if err == nil && n > math.MaxInt32/factor {
		err = strconv.ErrRange
	}
	return n * factor, err
}

func parseRate(text string) (float64, error) {
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || rate != 0 && !(rate >= bench.MinRateHz && rate <= bench.MaxRateHz) {
		return 0, fmt.Errorf("--rate %s: write %d to %.0f requests per second, or 0 for back to back", text, bench.MinRateHz, bench.MaxRateHz)
	}
	return rate, nil
}

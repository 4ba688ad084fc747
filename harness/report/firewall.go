package report

import (
	"cmp"
	"slices"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/firewall/policy"
)

// Firewall is what was found of a firewall and of the policy for it. What was not
// asked for, or not come to, is nil.
type Firewall struct {
	// Policy is what came of the policy: the same that the checks of it tell.
	Policy *policy.Result `json:"policy,omitempty"`
	// Maps are the verdict of every port.
	Maps *firewall.Maps `json:"maps,omitempty"`
	// Coverage says which rules the policy's packets meet.
	Coverage *policy.Coverage `json:"coverage,omitempty"`
	// Mutation says which mistakes in the rules the policy notices.
	Mutation *policy.Mutations `json:"mutation,omitempty"`
	// Notes say why something of it is not there.
	Notes []string `json:"notes,omitempty"`
}

// AddFirewall adds a part of what was found of the firewall.
func (r *Report) AddFirewall(part Firewall) {
	if r.Firewall == nil {
		r.Firewall = &Firewall{}
	}
	f := r.Firewall
	f.Policy = cmp.Or(part.Policy, f.Policy)
	f.Maps = cmp.Or(part.Maps, f.Maps)
	f.Coverage = cmp.Or(part.Coverage, f.Coverage)
	f.Mutation = cmp.Or(part.Mutation, f.Mutation)
	f.Notes = slices.Concat(f.Notes, part.Notes)
}

package firewall

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// recountInterval is how often a rule's counter is read that has not yet met
// what was sent to it. Mostly the first time finds it.
const recountInterval = time.Millisecond

func askInside(ctx context.Context, in *sandbox.Inside, p plan) (seen outcome, err error) {
	if seen.WithoutIPv6, err = prepare(ctx, in); err != nil {
		return seen, err
	}
	questions := seen.within(p.Questions)
	if len(questions) == 0 {
		return seen, nil
	}
	filter, err := seen.load(ctx, p.Ruleset)
	if filter == nil {
		return seen, err
	}
	servers := newSockets(ctx)
	defer servers.Close()
	for _, q := range questions {
		if err := servers.serve(in, q); err != nil {
			return seen, err
		}
	}
	return seen, seen.ask(ctx, in, filter, questions)
}

// load loads the rules for the families that there are. Where the kernel lacks
// what they need it takes note of that and returns no filter.
func (seen *outcome) load(ctx context.Context, r ruleset) (*filter, error) {
	families := bothFamilies
	if seen.WithoutIPv6 != "" {
		families = []sock.Family{sock.IPv4}
	}
	f, err := load(ctx, r, families)
	if lacking, ok := errors.AsType[*lackError](err); ok {
		seen.Lacks = &lacking.lack
		return nil, nil
	}
	return f, err
}

// within is those of the questions that there is a family for.
func (seen *outcome) within(questions []question) []question {
	if seen.WithoutIPv6 == "" {
		return questions
	}
	return slices.DeleteFunc(questions, func(q question) bool { return q.Family == sock.IPv6 })
}

// ask keeps the answers, and what the rules counted if the answers are right.
func (seen *outcome) ask(ctx context.Context, in *sandbox.Inside, f *filter, questions []question) (err error) {
	if seen.Answers, err = askAll(ctx, in, questions); err != nil {
		return err
	}
	if asExpected(seen.Answers) {
		seen.Counts, err = f.recount(ctx, questions)
	}
	return err
}

// askAll asks the questions of each zone together, but for those that wait for
// silence, which are asked after the others: they end sooner.
func askAll(ctx context.Context, in *sandbox.Inside, questions []question) ([]answered, error) {
	answers := make([]answered, len(questions))
	for _, zone := range []string{inside, outside} {
		for _, wait := range []time.Duration{patience, silence} {
			var packets []verdict.Packet
			var at []int
			for i, q := range questions {
				if q.client() == zone && q.wait() == wait {
					packets = append(packets, q.packet())
					at = append(at, i)
				}
			}
			err := in.Do(zone, func() error {
				found, err := verdict.OfAll(ctx, packets, wait)
				for i, a := range found {
					answers[at[i]] = answered{Question: questions[at[i]], Answer: a}
				}
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return answers, nil
}

func (q question) wait() time.Duration {
	if q.Want == dropped {
		return silence
	}
	return patience
}

func (q question) packet() verdict.Packet {
	return verdict.Packet{Protocol: q.Protocol, To: q.target(), Payload: []byte("anybody?")}
}

func asExpected(answers []answered) bool {
	for _, a := range answers {
		if a.Answer.Verdict != a.Question.Want {
			return false
		}
	}
	return true
}

package database

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// valueSizes are those of the values that are written and read back: nothing, one
// byte, around what a segment on lo holds, and 1 MiB.
var valueSizes = []int{0, 1, 64, 1_460, 16_384, 65_483, 65_484, 1 << 20}

// randomBytes holds every byte value, in an order that is the same each time.
func randomBytes(size int) []byte {
	source := rand.NewChaCha8([32]byte{1})
	value := make([]byte, size)
	_, _ = source.Read(value) // which never fails
	return value
}

// sum is what values are compared by: a megabyte is no message.
func sum(value []byte) string {
	return fmt.Sprintf("%d bytes, SHA-256 %x", len(value), sha256.Sum256(value))
}

var _ = suite.It("gives back from Redis the values that were written, of up to 1 MiB", check.Check{
	ID: "DB-003", Grade: check.GradeFail, Needs: []check.Need{needRedis}, Timeout: starting,
	Source: "Redis documentation, SET, GET and the serialization protocol; RFC 9293 3.1 (all data is delivered, in order)",
	Asks:   "Sets keys of the check's own to values of 0 bytes to 1 MiB that hold every byte value, and gets them over another connection: length and SHA-256 must be the same. The keys are removed.",
	Why:    "A session, a template or a serialized object that comes back altered or cut is worse than one that is missing: it is used.",
	Causes: alteredCauses, Remedies: alteredRemedies,
}, func(ctx SpecContext) {
	c := redisServer(ctx)
	bounded := spec.Within(ctx, transfer)
	writer, reader := c.client(), c.client()
	for _, size := range valueSizes {
		written := randomBytes(size)
		key := c.key(writer, strconv.Itoa(size))
		c.answered(writer.Set(bounded, key, written, keysKept).Err(), "SET of %d bytes", size)
		read, err := reader.Get(bounded, key).Bytes()
		c.answered(err, "GET of %d bytes", size)
		Expect(sum(read)).To(Equal(sum(written)), "what was read of %d bytes", size)
	}
})

const (
	pipelined    = 10_000
	transactions = 200
)

var _ = suite.It("answers 10,000 pipelined commands of Redis in their order, and a transaction as one", check.Check{
	ID: "DB-004", Grade: check.GradeFail, Needs: []check.Need{needRedis}, Timeout: starting,
	Source: "Redis documentation, pipelining and transactions",
	Asks:   "Sends 10,000 INCR of a key of the check's own in one pipeline: the answers must be 1 to 10,000 in that order. Then two clients make 200 transactions each at once (MULTI, INCRBY 1, INCRBY -1, EXEC): nobody may see another's half, so that each must be answered with one more and the same as before.",
	Why:    "Clients match answers to commands by their order alone. One that is lost, doubled or overtaken gives every later caller somebody else's data.",
	Causes: alteredCauses, Remedies: alteredRemedies,
}, func(ctx SpecContext) {
	c := redisServer(ctx)
	bounded := spec.Within(ctx, transfer)
	client := c.client()
	key := c.key(client, "pipeline")
	var answers []*redis.IntCmd
	_, err := client.Pipelined(bounded, func(p redis.Pipeliner) error {
		for range pipelined {
			answers = append(answers, p.Incr(bounded, key))
		}
		p.Expire(bounded, key, keysKept)
		return nil
	})
	c.answered(err, "%d INCR in one pipeline", pipelined)
	for i, answer := range answers {
		Expect(answer.Val()).To(BeEquivalentTo(i+1), "the answer to INCR %d of %d in one pipeline", i+1, pipelined)
	}

	shared := c.key(client, "transaction")
	failures := make(chan error, 2)
	for range cap(failures) {
		other := c.client()
		go func() { failures <- transact(bounded, other, shared) }()
	}
	for range cap(failures) {
		c.answered(<-failures, "transactions of two clients at once")
	}
})

// transact adds one and takes it away, in transactions.
func transact(ctx context.Context, client *redis.Client, key string) error {
	for range transactions {
		var more, less *redis.IntCmd
		_, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			more, less = p.IncrBy(ctx, key, 1), p.IncrBy(ctx, key, -1)
			p.Expire(ctx, key, keysKept)
			return nil
		})
		if err != nil {
			return err
		}
		if more.Val() != 1 || less.Val() != 0 {
			return fmt.Errorf("a transaction saw another's half: 0 and 1 was %d, and back %d", more.Val(), less.Val())
		}
	}
	return nil
}

// published is how many messages go to the subscribers.
const published = 1_000

var _ = suite.It("delivers every message of Redis to all subscribers, in order", check.Check{
	ID: "DB-005", Grade: check.GradeFail, Needs: []check.Need{needRedis}, Timeout: starting,
	Source: "Redis documentation, Pub/Sub",
	Asks:   "Has two clients subscribe to a channel of the check's own, and a third publish 1,000 messages of 1 to 1,000 bytes to it. PUBLISH must say that two received it, and both must be delivered all of them, whole and in order.",
	Why:    "Live updates, cache invalidation and task queues hang on messages that are pushed over connections which were idle until then. One that is lost is never sent again.",
	Causes: append([]string{"the server gave up a subscriber that read too slowly (client-output-buffer-limit pubsub)"}, alteredCauses...), Remedies: alteredRemedies,
}, func(ctx SpecContext) {
	c := redisServer(ctx)
	bounded := spec.Within(ctx, transfer)
	publisher, channel := c.client(), c.prefix+"channel"
	failures := make(chan error, 2)
	for range cap(failures) {
		subscription := c.client().Subscribe(bounded, channel)
		DeferCleanup(subscription.Close)
		_, err := subscription.Receive(bounded)
		c.answered(err, "SUBSCRIBE")
		go func() { failures <- receive(bounded, subscription) }()
	}
	text := string(randomBytes(published))
	for i := range published {
		receivers, err := publisher.Publish(bounded, channel, message(text, i)).Result()
		c.answered(err, "PUBLISH of message %d", i+1)
		Expect(receivers).To(BeEquivalentTo(cap(failures)), "subscribers that message %d went to", i+1)
	}
	for range cap(failures) {
		c.answered(<-failures, "%d messages to a subscriber", published)
	}
})

func message(text string, i int) string { return strconv.Itoa(i) + ":" + text[:i+1] }

// receive reads the messages and holds them against what was sent.
func receive(ctx context.Context, subscription *redis.PubSub) error {
	text := string(randomBytes(published))
	for i := range published {
		got, err := subscription.ReceiveMessage(ctx)
		if err != nil {
			return fmt.Errorf("await message %d: %w", i+1, err)
		}
		if want := message(text, i); got.Payload != want {
			return fmt.Errorf("message %d is %s, not %s", i+1, sum([]byte(got.Payload)), sum([]byte(want)))
		}
	}
	return nil
}

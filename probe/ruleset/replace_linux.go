package ruleset

import (
	"context"
	"errors"
	"sync"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// zoneSockets are sockets by zone that stay open for as long as a sandbox lives:
// to close one takes until what was removed is gone, which is milliseconds
// (nft_rcv_nl_event, net/netfilter/nf_tables_api.c).
type zoneSockets struct {
	mu     sync.Mutex
	byZone map[string]*nfnl.Conn
}

var sockets = zoneSockets{byZone: map[string]*nfnl.Conn{}}

// replaceRules is ReplaceIn, inside.
func replaceRules(ctx context.Context, zone string, r replacement) (*Copy, error) {
	return sockets.replace(ctx, zone, r)
}

func (z *zoneSockets) replace(ctx context.Context, zone string, r replacement) (*Copy, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	conn := z.byZone[zone]
	if conn == nil {
		var err error
		if conn, err = nfnl.Dial(); err != nil {
			return nil, denied(attemptLoad, err)
		}
	}
	delete(z.byZone, zone)
	copied, err := replace(ctx, conn, r.Keep, r.Ruleset)
	if _, refused := errors.AsType[*RefusedError](err); err == nil || refused {
		z.byZone[zone] = conn
		return copied, err
	}
	_ = conn.Close() // there may be answers left in it
	return copied, err
}

// replace is Load in the place of every table of nf_tables that is there, but for
// those of a name, in one transaction where there is room.
func replace(ctx context.Context, conn *nfnl.Conn, keep string, r *Ruleset) (*Copy, error) {
	var before unit
	err := conn.List(ctx, nfnl.Message{Type: nfnl.GetTable}, func(family uint8, attributes []byte) error {
		a, err := nfnl.Parse(attributes)
		if err != nil || a.Text(tableName) == keep {
			return err
		}
		b, err := nfnl.Attributes{}.With(tableName, zeroEnded(a.Text(tableName))).Encode()
		before.messages = append(before.messages, nfnl.Message{Type: nfnl.DelTable, Family: family, Attributes: b})
		before.about = append(before.about, Refusal{Kind: "the removal of a table", Table: a.Text(tableName)})
		return err
	})
	if err != nil {
		return nil, denied("remove netfilter rules", err)
	}
	return loadAfter(ctx, conn, r, before)
}

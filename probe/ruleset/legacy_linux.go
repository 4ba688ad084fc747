package ruleset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// legacyPrograms are those of one IP version.
type legacyPrograms struct{ names, save, restore string }

var (
	legacy4 = legacyPrograms{"/proc/thread-self/net/ip_tables_names", "iptables-legacy-save", "iptables-legacy-restore"}
	legacy6 = legacyPrograms{"/proc/thread-self/net/ip6_tables_names", "ip6tables-legacy-save", "ip6tables-legacy-restore"}
)

func (r *Ruleset) readLegacy(ctx context.Context) (err error) {
	if r.Legacy4, err = legacy4.read(ctx); err != nil {
		return err
	}
	r.Legacy6, err = legacy6.read(ctx)
	return err
}

// read asks the kernel which tables are in use, and only where there are some
// the program, which would create those that it is asked about.
func (p legacyPrograms) read(ctx context.Context) (Legacy, error) {
	const attempt = "read the tables of iptables-legacy"
	names, err := os.ReadFile(p.names)
	if errors.Is(err, fs.ErrNotExist) {
		return Legacy{}, nil
	}
	// In a network namespace that is older than its owner's IDs, as the first
	// zone of an ordinary user's sandbox is, the file belongs to nobody inside.
	if errors.Is(err, fs.ErrPermission) {
		return Legacy{Unread: fmt.Sprintf("%s: %v", attempt, err)}, nil
	}
	if err != nil {
		return Legacy{}, fmt.Errorf("%s: %w", attempt, err)
	}
	l := Legacy{Tables: strings.Fields(string(names))}
	if len(l.Tables) == 0 {
		return l, nil
	}
	l.Save, err = run(ctx, attempt, "", "", p.save)
	if missing := new(MissingProgramError); errors.As(err, &missing) {
		l.Unread = missing.Error()
		return l, nil
	}
	if err != nil {
		return Legacy{}, fmt.Errorf("%s: %w", attempt, err)
	}
	return l, nil
}

func (p legacyPrograms) load(ctx context.Context, l Legacy) error {
	const attempt = "load the tables of iptables-legacy"
	if l.Save == "" {
		return nil
	}
	if _, err := run(ctx, attempt, "", l.Save, p.restore); err != nil {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	return nil
}

// describe gives the rules their texts.
func (r *Ruleset) describe(ctx context.Context) error {
	listing, err := run(ctx, "write the rules as text", "", "", "nft", "-a", "-s", "-t", "list", "ruleset")
	// Without them the rules are still known by their handles.
	if missing, failed := new(MissingProgramError), new(programError); err != nil && !errors.As(err, &missing) &&
		(!errors.As(err, &failed) || ctx.Err() != nil) {
		return err
	}
	r.name(ruleTexts(listing))
	return nil
}

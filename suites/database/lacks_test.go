package database

import (
	"errors"
	"fmt"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/dbserver"
)

func TestWhatServersLackIsNoFailure(t *testing.T) {
	g := NewWithT(t)
	reason := errors.New("reason")
	for err, want := range map[error]string{
		&dbserver.MissingError{}:                       needRedis.Name,
		&dbserver.TooOldError{}:                        needRedis.Name,
		&dbserver.PrivilegeError{Err: reason}:          needPrivileges.Name,
		&dbserver.FolderError{Err: reason}:             needFolder.Name,
		&dbserver.UnusableError{Err: reason}:           needExecutable.Name,
		&dbserver.UnknownUserError{UID: 1234}:          "a user that /etc/passwd knows",
		fmt.Errorf("start: %w", errors.ErrUnsupported): "Linux",
	} {
		need, lacks := lacking(fmt.Errorf("wrapped: %w", err), needRedis)
		g.Expect(lacks).To(BeTrue(), "%T", err)
		g.Expect(need.Name).To(Equal(want), "%T", err)
		g.Expect(need.How).NotTo(BeEmpty())
	}
	for _, err := range []error{nil, reason, &dbserver.StartError{Err: reason}} {
		_, lacks := lacking(err, needRedis)
		g.Expect(lacks).To(BeFalse(), "%v", err)
	}
	need, _ := lacking(&dbserver.UnknownUserError{UID: 1234}, needPostgres)
	g.Expect(need.How).To(ContainSubstring("`loopcheck:x:1234:1234::/:/usr/sbin/nologin`"))
}

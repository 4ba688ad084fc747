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
}

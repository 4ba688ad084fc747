package dbserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// longestSocket is how long the path of a unix socket may be (unix(7)).
	longestSocket = len(unix.RawSockaddrUnix{}.Path) - 1
	// socketName is the longest name of one in the folder.
	socketName = "/.s.PGSQL.65535"
	// awkward are what has a meaning of its own in a path in the settings of
	// PostgreSQL or Redis.
	awkward = " \t\r\n\"'\\,"
)

// temporaryPlaces are where the folder of the servers' files may be, the user's own
// first.
func temporaryPlaces() []string { return []string{os.TempDir(), "/tmp", "/var/tmp", "/dev/shm"} }

// temporaryFolder makes a folder for the servers' files in the first of some places
// where that is fit for them. The error says of each why it was not.
func temporaryFolder(places []string) (string, error) {
	var all error
	for i, place := range places {
		if slices.Contains(places[:i], place) {
			continue
		}
		folder, err := folderIn(place)
		if err == nil {
			return folder, nil
		}
		if all != nil {
			err = fmt.Errorf("%w; %w", all, err)
		}
		all = err
	}
	return "", all
}

// folderIn makes the folder in a place, and gives it to the servers' user.
func folderIn(place string) (string, error) {
	place, err := filepath.Abs(place)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(place, awkward) {
		return "", fmt.Errorf("%q cannot be written in the settings of servers", place)
	}
	folder, err := os.MkdirTemp(place, "loopcheck-databases-")
	if err != nil {
		return "", err
	}
	if err := fit(folder); err != nil {
		return "", errors.Join(err, os.Remove(folder))
	}
	return folder, nil
}

func fit(folder string) error {
	if len(folder)+len(socketName) > longestSocket {
		return fmt.Errorf("the path of a unix socket in %s is longer than %d bytes", filepath.Dir(folder), longestSocket)
	}
	if !switches() {
		return nil
	}
	if err := own(folder); err != nil {
		return err
	}
	// Who owns it has to get there as well.
	err := asNobody(func() error {
		var status unix.Stat_t
		return unix.Stat(folder+"/.", &status)
	})
	if err != nil {
		return fmt.Errorf("enter %s as the user %d: %w", folder, nobody, err)
	}
	return nil
}

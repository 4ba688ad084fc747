package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// variant is one way of starting the command.
type variant struct {
	name, about string
	// copies is how many are started at the same time.
	copies int
	// hogs is how many busy processes run beside it.
	hogs int
	// netns starts it in a fresh network namespace.
	netns bool
	// user starts it as the user nobody.
	user bool
	// steps are taken in the child before the command is executed: keys of
	// stageSteps.
	steps []string
	// needsRoot is why root is needed; empty if it is not.
	needsRoot string
	// expectFails says that the stack is damaged, so that checks have to fail.
	expectFails bool
}

var variants = []variant{
	{name: "plain", about: "as it is", copies: 1},
	{name: "user", about: "as the user nobody, without capabilities", copies: 1, user: true, needsRoot: "to become another user"},
	{name: "no-net-raw", about: "as root without CAP_NET_RAW", copies: 1, steps: []string{stepNoNetRaw}, needsRoot: "to be root without CAP_NET_RAW"},
	{name: "netns", about: "in a fresh network namespace, lo up", copies: 1, netns: true, steps: []string{stepLoUp}},
	{name: "netns-lo-down", about: "in a fresh network namespace, lo down: checks must fail and name a cause", copies: 1, netns: true, steps: []string{stepNothing}, expectFails: true},
	{name: "no-ipv6", about: "in a fresh network namespace with IPv6 disabled", copies: 1, netns: true, steps: []string{stepNoIPv6, stepLoUp}},
	{name: "nofile-256", about: "with at most 256 open files", copies: 1, steps: []string{stepNoFile}},
	{name: "no-userns", about: "as root where user namespaces are refused", copies: 1, steps: []string{stepNoUserNS}, needsRoot: "to have private namespaces all the same"},
	{name: "user-no-userns", about: "as the user nobody where user namespaces are refused", copies: 1, user: true, steps: []string{stepNoUserNS}, needsRoot: "to become another user"},
	{name: "hogs", about: "beside two busy processes, each on a CPU of its own where there are two", copies: 1, hogs: 2},
	{name: "twice", about: "two at the same time", copies: 2},
}

// selectVariants turns a list of names, or "all", into variants.
func selectVariants(names string) ([]variant, error) {
	if names == "all" {
		return variants, nil
	}
	var selected []variant
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(variants, func(v variant) bool { return v.name == name })
		if i < 0 {
			var known []string
			for _, v := range variants {
				known = append(known, v.name)
			}
			return nil, fmt.Errorf("unknown variant %q: choose from %s, or all", name, strings.Join(known, ", "))
		}
		selected = append(selected, variants[i])
	}
	return selected, nil
}

// blocked says why the variant cannot be run with the rights of this process.
func (v variant) blocked() string {
	if v.needsRoot != "" && os.Geteuid() != 0 {
		return "needs root " + v.needsRoot
	}
	return ""
}

// nobody is the ID of the user and group that own nothing, on all of Linux.
const nobody = 65534

// owner is the user and group that the command runs as.
func (v variant) owner() (uid, gid int) {
	if v.user {
		return nobody, nobody
	}
	return os.Geteuid(), os.Getegid()
}

// attributes are how the child is started. It has a process group of its own, so
// that a Ctrl-C on the terminal reaches soak alone, which passes it on.
func (v variant) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	if v.user {
		// Changing the user ID away from 0 clears all capabilities, and an empty
		// list of groups replaces root's.
		a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{}}
	}
	if v.netns {
		a.Cloneflags = unix.CLONE_NEWNET
		if os.Geteuid() != 0 {
			a.Cloneflags |= unix.CLONE_NEWUSER
			a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
			a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		}
	}
	return a
}

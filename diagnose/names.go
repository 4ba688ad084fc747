package diagnose

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/hostnames"
)

// What of the suite of names has causes of its own.
const (
	namesSuite       = "names"
	localhostMissing = "localhost in the hosts file" // a need
	addressesCheck   = "NAME-006"
	ipv4Check        = "NAME-008"
	serversCheck     = "NAME-009"
)

const localhost = "localhost"

// readName reads a file about names, and whether it is a mount of its own, as
// container runtimes make it. It is a variable so that tests can show machines
// that this one is not.
var readName = func(path string) (text string, mounted bool, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", false, err
	}
	mounts, _ := os.ReadFile("/proc/thread-self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == path {
			mounted = true
		}
	}
	return string(content), mounted, nil
}

// names finds what is wrong with localhost in the hosts file and in the order
// of sources, and DNS servers of this machine that do not answer.
func names(ctx context.Context, s Symptom) Diagnosis {
	switch {
	case runtime.GOOS == "windows":
		return Diagnosis{} // its files are others
	case s.Check == serversCheck:
		return silentServers(ctx)
	case s.Suite != namesSuite && s.Missing != localhostMissing:
		return Diagnosis{}
	}
	var d Diagnosis
	for _, look := range []func(Symptom) Diagnosis{hostsFile, sourcesOfNames} {
		more := look(s)
		d.Findings = append(d.Findings, more.Findings...)
		d.Unseen = append(d.Unseen, more.Unseen...)
	}
	if s.Check == addressesCheck && strings.Contains(s.Message, netip.IPv6Loopback().String()+",") {
		more := loopbackInterface(ctx, Symptom{Check: s.Check, IPv6: true})
		d.Findings = append(d.Findings, more.Findings...)
	}
	return d
}

// hostsFile finds localhost missing from the hosts file, or leading elsewhere.
func hostsFile(s Symptom) Diagnosis {
	text, mounted, err := readName(hostnames.HostsPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Diagnosis{Unseen: []Unseen{{What: hostnames.HostsPath, Why: err.Error()}}}
	}
	file := hosts{lines: hostnames.ParseHosts(text), missing: err != nil, mounted: mounted}
	for _, line := range file.lines {
		switch {
		case !line.Has(localhost):
		case !line.Addr.IsLoopback():
			file.strays = append(file.strays, stray{line, "is no loopback address"})
		case !ownedByLo(line.Addr):
			file.strays = append(file.strays, stray{line, "lo does not have"})
		default:
			file.sound = append(file.sound, line)
		}
	}
	switch {
	case len(file.strays) > 0:
		return file.strayFindings()
	case len(file.sound) == 0:
		return found(file.withoutLocalhost())
	case s.Check == ipv4Check && !slices.ContainsFunc(file.sound, func(h hostnames.Host) bool { return h.Addr.Is4() }):
		return found(file.withoutIPv4())
	}
	return Diagnosis{}
}

// hosts is what the hosts file says.
type hosts struct {
	missing, mounted bool
	lines            []hostnames.Host
	// sound and strays are the lines of localhost: those that lead to lo, and
	// the others.
	sound  []hostnames.Host
	strays []stray
}

type stray struct {
	hostnames.Host
	why string
}

// ownedByLo says whether lo has a loopback address; of a network such as
// 127.0.0.0/8 it has them all. Where IPv6 was taken off the machine, a line
// with ::1 is not what makes anything fail.
func ownedByLo(addr netip.Addr) bool {
	lo, err := readLoopback()
	return err != nil || addr.Is6() ||
		slices.ContainsFunc(lo.addresses, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// What the hosts file of an ordinary machine says.
const (
	hostsIPv4 = "127.0.0.1 localhost"
	hostsIPv6 = "::1 localhost ip6-localhost ip6-loopback"
)

// standard is the command that writes the lines of localhost, to a file that
// loses nothing by it, or else to the end of it.
func (h *hosts) standard(redirect string) string {
	lines := hostsIPv4 + `\n`
	if off, err := readSetting("net.ipv6.conf.lo.disable_ipv6"); err == nil && off == "0" {
		lines += hostsIPv6 + `\n`
	}
	return fmt.Sprintf("printf '%s' %s %s", lines, redirect, hostnames.HostsPath)
}

// nothingElse says whether the file is about localhost alone, so that it may be
// written anew.
func (h *hosts) nothingElse() bool {
	return !slices.ContainsFunc(h.lines, func(l hostnames.Host) bool {
		return slices.ContainsFunc(l.Names, func(name string) bool {
			return !slices.Contains([]string{localhost, "ip6-localhost", "ip6-loopback"}, strings.ToLower(name))
		})
	})
}

func (h *hosts) withoutLocalhost() Finding {
	cause := Cause{
		ID:      "hosts-without-localhost",
		Summary: hostsPath + " has no line for localhost, so that the name is asked of others.",
	}
	redirect := ">>"
	switch {
	case h.missing:
		cause.Summary = "There is no " + hostsPath + ", so that localhost is asked of others."
		cause.Evidence = []string{"open " + hostsPath + ": " + fs.ErrNotExist.Error()}
		redirect = ">"
	case len(h.lines) == 0:
		cause.Evidence = []string{hostsPath + " holds no line with an address and a name"}
		redirect = ">"
	default:
		cause.Evidence = []string{fmt.Sprintf("%s: %d lines with an address, the first %q", hostsPath, len(h.lines), h.lines[0].Text)}
	}
	return Finding{Cause: cause, Remedies: []Remedy{{Command: h.standard(redirect), Cause: cause.ID}}}
}

const hostsPath = hostnames.HostsPath

func (h *hosts) withoutIPv4() Finding {
	cause := Cause{
		ID:      "hosts-localhost-without-ipv4",
		Summary: hostsPath + " gives localhost no IPv4 address.",
	}
	for _, line := range h.sound {
		cause.Evidence = append(cause.Evidence, place(line))
	}
	remedy := Remedy{Command: edited(`1i\`+hostsIPv4, hostsPath, h.mounted), Cause: cause.ID}
	if h.nothingElse() {
		remedy.Command = h.standard(">")
	}
	return Finding{Cause: cause, Remedies: []Remedy{remedy}}
}

// strayFindings are a cause for each line that leads away from lo.
func (h *hosts) strayFindings() Diagnosis {
	var d Diagnosis
	for i, line := range h.strays {
		cause := Cause{
			ID:       fmt.Sprintf("hosts-localhost-%s", line.Addr),
			Summary:  fmt.Sprintf("%s gives localhost the address %s, which %s.", hostsPath, line.Addr, line.why),
			Evidence: []string{place(line.Host)},
		}
		remedy := Remedy{Command: edited(without(line.Host), hostsPath, h.mounted), Cause: cause.ID}
		if i == 0 && len(h.sound) == 0 {
			// Nothing of localhost would be left.
			remedy.Command += " && " + h.standard(">>")
			if h.nothingElse() {
				remedy.Command = h.standard(">")
			}
		}
		d.Findings = append(d.Findings, Finding{Cause: cause, Remedies: []Remedy{remedy}})
		if len(h.sound) == 0 && h.nothingElse() {
			break // the first remedy mends all
		}
	}
	return d
}

func place(h hostnames.Host) string { return fmt.Sprintf("%s:%d: %q", hostsPath, h.Line, h.Text) }

// without is the sed script that takes localhost out of a line, and the line out
// of the file where it names nothing else. It goes by the line's content, so
// that it does no harm once the file has changed.
func without(h hostnames.Host) string {
	addr, _, _ := strings.Cut(h.Text, " ")
	line := fmt.Sprintf(`/^[[:space:]]*%s[[:space:]]/`, escaped(addr))
	if slices.ContainsFunc(h.Names, func(n string) bool { return !strings.EqualFold(n, localhost) }) {
		return line + `s/[[:space:]]\+localhost\([[:space:]]\|$\)/\1/I`
	}
	return line + `{/[[:space:]]localhost\([[:space:]]\|$\)/Id}`
}

// escaped makes a text stand for itself in a pattern or replacement of sed.
func escaped(text string) string {
	return strings.NewReplacer(`\`, `\\`, "/", `\/`, "&", `\&`, ".", `\.`, "[", `\[`, "]", `\]`, "*", `\*`, "^", `\^`, "$", `\$`).Replace(text)
}

// edited is the command that changes a file by sed. One that is a mount cannot
// be replaced, but written.
func edited(script, path string, mounted bool) string {
	if mounted {
		return fmt.Sprintf(`text=$(sed %s %s) && printf '%%s\n' "$text" > %s`, shellQuoted(script), path, path)
	}
	return fmt.Sprintf("sed -i %s %s", shellQuoted(script), path)
}

func shellQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// sourcesOfNames finds an nsswitch.conf that has DNS asked before the hosts
// file, or that one not at all.
func sourcesOfNames(Symptom) Diagnosis {
	text, mounted, err := readName(hostnames.SourcesPath)
	if err != nil {
		return Diagnosis{} // without it, files come first
	}
	sources, written := hostnames.ParseSources(text)
	if !written {
		return Diagnosis{}
	}
	files, dns := slices.Index(sources.Names, "files"), slices.Index(sources.Names, "dns")
	cause := Cause{
		ID:       "nsswitch-without-files",
		Summary:  "The hosts line of nsswitch.conf does not name files, so that " + hostsPath + " is not read.",
		Evidence: []string{fmt.Sprintf("%s:%d: %q", hostnames.SourcesPath, sources.Line, "hosts: "+strings.Join(sources.Names, " "))},
	}
	switch {
	case files < 0:
	case 0 <= dns && dns < files:
		cause.ID = "nsswitch-dns-first"
		cause.Summary = "The hosts line of nsswitch.conf has dns before files, so that DNS servers are asked for what " + hostsPath + " says."
	default:
		return Diagnosis{}
	}
	line := "hosts: " + strings.Join(filesFirst(sources.Names), " ")
	return found(Finding{Cause: cause, Remedies: []Remedy{{
		Command: edited(`s/^[[:space:]]*hosts[[:space:]]*:.*/`+replacement(line)+"/", hostnames.SourcesPath, mounted),
		Cause:   cause.ID,
	}}})
}

func replacement(text string) string {
	return strings.NewReplacer(`\`, `\\`, "/", `\/`, "&", `\&`).Replace(text)
}

// filesFirst has files stand right before dns, or in front of all where that is
// not named. What is to be done on the answer of files goes.
func filesFirst(names []string) []string {
	var others []string
	for i := 0; i < len(names); i++ {
		if names[i] != "files" {
			others = append(others, names[i])
			continue
		}
		for i+1 < len(names) && strings.HasPrefix(names[i+1], "[") {
			i++
		}
	}
	return slices.Insert(others, max(0, slices.Index(others, "dns")), "files")
}

package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/loopcheck/loopcheck/probe/cors"
)

const (
	// certificateLife is the longest that browsers take (CA/Browser Forum Baseline
	// Requirements 6.3.2 of 2020).
	certificateLife = 397 * 24 * time.Hour
	// clockSlack lets a client's clock be slow.
	clockSlack = time.Hour
	// maxCertificates bounds those that are kept by name.
	maxCertificates = 100
)

// authority issues certificates for the server's names and addresses, and can issue
// no other (RFC 5280 4.2.1.10): who trusts it trusts this server and no more. Its key
// is in memory alone.
type authority struct {
	certificate *x509.Certificate
	pem         []byte
	key         *ecdsa.PrivateKey
	hosts       cors.Hosts
	general     *tls.Certificate // of localhost, the hosts and the addresses

	mu     sync.Mutex
	byName map[string]*tls.Certificate
}

func newAuthority(hosts []string, addresses []netip.Addr) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	var names []string
	addresses = append([]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, addresses...)
	for _, host := range hosts {
		if addr, err := netip.ParseAddr(host); err == nil {
			addresses = append(addresses, addr)
		} else {
			names = append(names, host)
		}
	}
	a := &authority{key: key, hosts: hosts, byName: map[string]*tls.Certificate{}}
	template := validity(pkix.Name{CommonName: "loopcheck serve, made " + time.Now().UTC().Format(time.RFC3339)})
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	template.PermittedDNSDomainsCritical = true
	template.PermittedDNSDomains = append([]string{"localhost"}, names...)
	template.PermittedIPRanges = []*net.IPNet{{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}}
	for _, addr := range addresses {
		template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())})
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a.general, err = a.issue(append([]string{"localhost"}, names...), addresses)
	return a, err
}

func validity(name pkix.Name) *x509.Certificate {
	now := time.Now()
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // crypto/rand does not fail
	return &x509.Certificate{
		Subject: name, SerialNumber: serial,
		NotBefore: now.Add(-clockSlack), NotAfter: now.Add(certificateLife - clockSlack),
	}
}

func (a *authority) issue(names []string, addresses []netip.Addr) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	template := validity(pkix.Name{CommonName: names[0]})
	template.DNSNames = names
	for _, addr := range addresses {
		template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func (a *authority) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.choose}
}

// choose makes a certificate for each name below localhost that is asked for: browsers
// take no wildcard right below a top-level domain.
func (a *authority) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := hello.ServerName
	if name == "" || a.general.Leaf.VerifyHostname(name) == nil || !a.hosts.Allows(name) {
		return a.general, nil
	}
	if known := a.known(name); known != nil {
		return known, nil
	}
	// Without the lock: who asks for many names holds up nobody else.
	made, err := a.issue([]string{name}, nil)
	if err != nil {
		return nil, err
	}
	return a.keep(name, made), nil
}

func (a *authority) known(name string) *tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byName[name]
}

// keep returns the certificate of a name that is kept: another, where somebody was
// quicker. Where there are too many, any one of them goes.
func (a *authority) keep(name string, made *tls.Certificate) *tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.byName[name]; ok {
		return known
	}
	if len(a.byName) >= maxCertificates {
		for other := range a.byName {
			delete(a.byName, other)
			break
		}
	}
	a.byName[name] = made
	return made
}

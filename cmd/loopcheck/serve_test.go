package main

import "testing"

func TestParseHost(t *testing.T) {
	for text, want := range map[string]string{
		"dev.example": "dev.example", "DEV.Example.": "dev.example", "my_box": "my_box", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"192.168.1.10": "192.168.1.10", "FD00::1": "fd00::1", "[fd00:0::1]": "fd00::1", "::ffff:192.168.1.10": "192.168.1.10",
	} {
		if got, err := parseHost(text); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ".", "a..b", ".a", "bücher.example", "b%C3%BCcher.example", "a:80", "a:8080", "a/", "a#", "a?", "u@a", "*.a", "a b", "[a]",
		"http://a", "fe80::1%eth0", "192.168.1.10:80", "[fd00::1]:80", `a\b`, "a\n",
	} {
		if got, err := parseHost(text); err == nil {
			t.Errorf("%q is taken for %q", text, got)
		}
	}
}

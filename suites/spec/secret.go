package spec

import "strings"

// hidden stands in the place of secrets.
const hidden = "xxxxx"

// secrets are what no report may hold.
var secrets []string

// Hide keeps a secret, such as the password of a user's server, out of all that
// checks say: programs may repeat it in their errors. Call it before the run.
func Hide(secret string) {
	if secret != "" {
		secrets = append(secrets, secret)
	}
}

func hide(text string) string {
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, hidden)
	}
	return text
}

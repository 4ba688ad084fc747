package services

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// askPostgreSQL begins a session as the user postgres, and takes its leave where
// the server lets it in (PostgreSQL manual, "Frontend/Backend Protocol").
var askPostgreSQL = overTCP("a session of the user postgres", greetPostgreSQL)

func greetPostgreSQL(conn io.ReadWriter) (Openness, string, error) {
	if _, err := conn.Write(postgresStartup("user", "postgres", "database", "postgres", "application_name", "loopcheck")); err != nil {
		return "", "", err
	}
	kind, body, err := readPostgres(conn)
	if err != nil {
		return "", "", err
	}
	openness, seen, err := judgePostgres(kind, body)
	if openness == Open {
		// The answer stands, whether or not the leave is taken.
		_, _ = conn.Write([]byte{'X', 0, 0, 0, 4})
	}
	return openness, seen, err
}

const (
	postgresVersion3 = 3 << 16
	// postgresLimitBytes is more than the messages that come first need.
	postgresLimitBytes = 8192
)

// postgresStartup is the startup message of protocol 3.0.
func postgresStartup(parameters ...string) []byte {
	message := binary.BigEndian.AppendUint32(nil, 0)
	message = binary.BigEndian.AppendUint32(message, postgresVersion3)
	for _, p := range parameters {
		message = append(append(message, p...), 0)
	}
	message = append(message, 0)
	binary.BigEndian.PutUint32(message, uint32(len(message)))
	return message
}

// readPostgres reads a message: its type and what follows its length.
func readPostgres(r io.Reader) (kind byte, body []byte, err error) {
	header, err := readBytes(r, 5)
	if err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(header[1:])
	if length < 4 || length > postgresLimitBytes {
		return 0, nil, errUnexpected
	}
	body, err = readBytes(r, int(length)-4)
	return header[0], body, err
}

// judgePostgres reads an authentication request or an error, which are what a
// server sends first.
func judgePostgres(kind byte, body []byte) (Openness, string, error) {
	switch {
	case kind == 'R' && len(body) >= 4:
		method := binary.BigEndian.Uint32(body)
		if method == 0 {
			return Open, "AuthenticationOk: the user postgres is let in without a password (trust)", nil
		}
		return Protected, "asks for authentication by " + postgresMethod(method), nil
	case kind == 'E':
		fields := postgresFields(body)
		code := fields['C']
		if code == "" {
			return "", "", errUnexpected
		}
		seen := fmt.Sprintf("%s %s: %s", fields['S'], code, fields['M'])
		// Class 28 is "Invalid Authorization Specification" (PostgreSQL manual,
		// appendix A).
		if strings.HasPrefix(code, "28") {
			return Protected, seen, nil
		}
		return Unclear, seen, nil
	}
	return "", "", errUnexpected
}

func postgresMethod(number uint32) string {
	switch number {
	case 2:
		return "Kerberos V5"
	case 3:
		return "password in clear text"
	case 5:
		return "MD5 password"
	case 7:
		return "GSSAPI"
	case 9:
		return "SSPI"
	case 10:
		return "SASL (SCRAM)"
	}
	return fmt.Sprintf("method %d", number)
}

// postgresFields are those of an ErrorResponse, by their type: each a byte and a
// string that ends with NUL.
func postgresFields(body []byte) map[byte]string {
	fields := map[byte]string{}
	for len(body) > 1 && body[0] != 0 {
		value, rest, found := strings.Cut(string(body[1:]), "\x00")
		if !found {
			break
		}
		fields[body[0]] = value
		body = []byte(rest)
	}
	return fields
}

package services

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// askMySQL logs in as root with an empty password, and leaves where it was let in
// (MySQL internals manual, "Connection Phase"; MariaDB, "Connecting").
var askMySQL = overTCP("a login of root with an empty password", greetMySQL)

func greetMySQL(conn io.ReadWriter) (Openness, string, error) {
	sequence, greeting, err := readMySQL(conn)
	if err != nil {
		return "", "", err
	}
	if refusal, is := mysqlError(greeting); is {
		return judgeMySQLError(refusal)
	}
	server, err := parseMySQLHandshake(greeting)
	if err != nil {
		return "", "", err
	}
	answer := mysqlLogin(server)
	for range mysqlRounds {
		if err := writeMySQL(conn, sequence+1, answer); err != nil {
			return "", "", err
		}
		var reply []byte
		if sequence, reply, err = readMySQL(conn); err != nil {
			return "", "", err
		}
		openness, seen, err := judgeMySQL(reply)
		switch {
		case err != nil:
			return "", "", err
		case openness == Open:
			// The answer stands, whether or not the leave is taken.
			_ = writeMySQL(conn, 0, []byte{mysqlQuit})
			return Open, fmt.Sprintf("%s (%s)", seen, server.version), nil
		case openness != "":
			return openness, seen, nil
		}
		// Whatever the method: an empty password.
		answer = nil
	}
	return "", "", errUnexpected
}

const (
	// mysqlRounds bounds the methods of authentication that a server may try in
	// turn; one that asks for more is none.
	mysqlRounds = 4
	// mysqlLimitBytes is more than a packet of the connection phase needs.
	mysqlLimitBytes = 16384

	mysqlOK         = 0x00
	mysqlMoreData   = 0x01
	mysqlSwitch     = 0xfe
	mysqlErr        = 0xff
	mysqlQuit       = 0x01
	mysqlFullAuth   = 0x04 // of caching_sha2_password: the password itself
	mysqlVersion10  = 0x0a
	mysqlUTF8       = 33
	mysqlMaxPacket  = 1 << 24
	mysqlScrambling = 8 // bytes of the challenge that stand in its first part

	mysqlLongPassword = 1 << 0
	mysqlProtocol41   = 1 << 9
	mysqlSecure       = 1 << 15
	mysqlPluginAuth   = 1 << 19
)

// readMySQL reads a packet.
func readMySQL(r io.Reader) (sequence byte, payload []byte, err error) {
	header, err := readBytes(r, 4)
	if err != nil {
		return 0, nil, err
	}
	length := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	if length == 0 || length > mysqlLimitBytes {
		return 0, nil, errUnexpected
	}
	payload, err = readBytes(r, length)
	return header[3], payload, err
}

func writeMySQL(w io.Writer, sequence byte, payload []byte) error {
	n := len(payload)
	packet := append([]byte{byte(n), byte(n >> 8), byte(n >> 16), sequence}, payload...)
	_, err := w.Write(packet)
	return err
}

// mysqlServer is what a server says of itself.
type mysqlServer struct {
	version string
	// plugin is its method of authentication, empty where it names none.
	plugin string
}

// parseMySQLHandshake reads a packet of HandshakeV10.
func parseMySQLHandshake(p []byte) (mysqlServer, error) {
	if len(p) == 0 || p[0] != mysqlVersion10 {
		return mysqlServer{}, errUnexpected
	}
	version, rest, found := bytes.Cut(p[1:], []byte{0})
	// The thread's number, the challenge's first part, a filler; then half of
	// the capabilities.
	const upToCapabilities = 4 + mysqlScrambling + 1
	if !found || len(rest) < upToCapabilities+2 {
		return mysqlServer{}, errUnexpected
	}
	server := mysqlServer{version: string(version)}
	rest = rest[upToCapabilities:]
	capabilities := uint32(binary.LittleEndian.Uint16(rest))
	if capabilities&mysqlProtocol41 == 0 {
		return mysqlServer{}, errUnexpected
	}
	// The character set, the status, the other half, the challenge's length and
	// 10 reserved bytes; then the challenge's second part.
	const upToChallenge = 2 + 1 + 2 + 2 + 1 + 10
	if len(rest) < upToChallenge {
		return server, nil
	}
	capabilities |= uint32(binary.LittleEndian.Uint16(rest[5:])) << 16
	second := max(13, int(rest[7])-mysqlScrambling)
	if capabilities&mysqlPluginAuth == 0 || len(rest) < upToChallenge+second {
		return server, nil
	}
	plugin, _, _ := bytes.Cut(rest[upToChallenge+second:], []byte{0})
	server.plugin = string(plugin)
	return server, nil
}

// mysqlLogin is a HandshakeResponse41 of root with an empty password.
func mysqlLogin(server mysqlServer) []byte {
	capabilities := uint32(mysqlLongPassword | mysqlProtocol41 | mysqlSecure)
	if server.plugin != "" {
		capabilities |= mysqlPluginAuth
	}
	login := binary.LittleEndian.AppendUint32(nil, capabilities)
	login = binary.LittleEndian.AppendUint32(login, mysqlMaxPacket)
	login = append(login, mysqlUTF8)
	login = append(login, make([]byte, 23)...)
	login = append(login, "root\x00"...)
	login = append(login, 0) // the length of the password's proof
	if server.plugin != "" {
		login = append(append(login, server.plugin...), 0)
	}
	return login
}

// judgeMySQL reads the answer to a login. The openness is empty where the server
// asks for another method, to be answered with an empty packet.
func judgeMySQL(p []byte) (Openness, string, error) {
	if refusal, is := mysqlError(p); is {
		return judgeMySQLError(refusal)
	}
	switch {
	case len(p) == 0:
		return "", "", errUnexpected
	case p[0] == mysqlOK && len(p) >= 7: // rows, last ID, status, warnings
		return Open, "OK: root is let in with an empty password", nil
	case p[0] == mysqlSwitch:
		return "", "", nil
	case p[0] == mysqlMoreData && len(p) == 2 && p[1] == mysqlFullAuth:
		return Protected, "asks for the password itself (caching_sha2_password)", nil
	case p[0] == mysqlMoreData:
		return "", "", nil
	}
	return "", "", errUnexpected
}

// mysqlRefusal is an ERR packet.
type mysqlRefusal struct {
	code    uint16
	message string
}

func mysqlError(p []byte) (mysqlRefusal, bool) {
	if len(p) < 3 || p[0] != mysqlErr {
		return mysqlRefusal{}, false
	}
	message := p[3:]
	// An SQLSTATE stands first but for errors before the handshake.
	if len(message) >= 6 && message[0] == '#' {
		message = message[6:]
	}
	return mysqlRefusal{binary.LittleEndian.Uint16(p[1:]), string(message)}, true
}

// judgeMySQLError tells refusals of who is asking from those of a server that is
// not ready (MySQL, "Server Error Message Reference"; MariaDB, "Error Codes").
func judgeMySQLError(e mysqlRefusal) (Openness, string, error) {
	seen := fmt.Sprintf("error %d: %s", e.code, e.message)
	switch e.code {
	case 1044, 1045, 1698, // access denied
		1129, 1130, // the host is blocked, or not allowed
		1251, 1275, 1524, // a method of authentication that root has and this client has not
		3118, 4151, // the account is locked
		3159: // TLS is required
		return Protected, seen, nil
	}
	return Unclear, seen, nil
}

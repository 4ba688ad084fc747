package services

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// askMongoDB asks for the names of the databases, which needs a privilege where
// access control is on (MongoDB manual, "listDatabases"). The privilege is looked
// at before the member's state is, so that one of a replica set that may not be
// read answers as well.
var askMongoDB = overTCP("listDatabases, the names only", greetMongoDB)

func greetMongoDB(conn io.ReadWriter) (Openness, string, error) {
	if _, err := conn.Write(mongoListDatabases()); err != nil {
		return "", "", err
	}
	message, err := readMongo(conn)
	if err != nil {
		return "", "", err
	}
	return judgeMongo(message)
}

const (
	// mongoHeaderBytes are a message's length, its number, that of the message it
	// answers, and its kind (MongoDB manual, "MongoDB Wire Protocol").
	mongoHeaderBytes = 16
	mongoOpMsg       = 2013
	mongoRequestID   = 1
	mongoBodySection = 0
	// mongoLimitBytes is room for the names of some ten thousand databases.
	mongoLimitBytes = 1 << 20
	// mongoUnauthorized and mongoAuthenticationFailed are codes of errors
	// (src/mongo/base/error_codes.yml).
	mongoUnauthorized         = 13
	mongoAuthenticationFailed = 18
)

// mongoListDatabases is the message {listDatabases: 1, nameOnly: true, $db:
// "admin", $readPreference: {mode: "secondaryPreferred"}}.
func mongoListDatabases() []byte {
	document := bsonDocument(
		bsonElement(bsonInt32, "listDatabases", []byte{1, 0, 0, 0}),
		bsonElement(bsonBool, "nameOnly", []byte{1}),
		bsonElement(bsonString, "$db", bsonText("admin")),
		bsonElement(bsonObject, "$readPreference", bsonDocument(
			bsonElement(bsonString, "mode", bsonText("secondaryPreferred")),
		)),
	)
	const flags = 4
	message := binary.LittleEndian.AppendUint32(nil, uint32(mongoHeaderBytes+flags+1+len(document)))
	message = binary.LittleEndian.AppendUint32(message, mongoRequestID)
	message = binary.LittleEndian.AppendUint32(message, 0)
	message = binary.LittleEndian.AppendUint32(message, mongoOpMsg)
	message = append(message, make([]byte, flags)...)
	message = append(message, mongoBodySection)
	return append(message, document...)
}

// readMongo reads a message of OP_MSG that answers the request and returns what
// follows its header.
func readMongo(r io.Reader) ([]byte, error) {
	header, err := readBytes(r, mongoHeaderBytes)
	if err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(header)
	if length < mongoHeaderBytes || length > mongoLimitBytes ||
		binary.LittleEndian.Uint32(header[8:]) != mongoRequestID ||
		binary.LittleEndian.Uint32(header[12:]) != mongoOpMsg {
		return nil, errUnexpected
	}
	return readBytes(r, int(length)-mongoHeaderBytes)
}

// judgeMongo reads the flags and the body section of an answer.
func judgeMongo(message []byte) (Openness, string, error) {
	if len(message) < 5 || message[4] != mongoBodySection {
		return "", "", errUnexpected
	}
	answer, err := parseBSON(message[5:])
	if err != nil {
		return "", "", err
	}
	ok, said := bsonNumber(answer["ok"])
	if !said {
		return "", "", errUnexpected
	}
	if ok == 1 {
		databases, is := answer["databases"]
		if !is || databases.kind != bsonArray {
			return "", "", errUnexpected
		}
		return Open, "databases: " + strings.Join(mongoNames(databases), ", "), nil
	}
	code, _ := bsonNumber(answer["code"])
	seen := fmt.Sprintf("error %d: %s", int(code), answer["errmsg"].text())
	if code == mongoUnauthorized || code == mongoAuthenticationFailed {
		return Protected, seen, nil
	}
	return Unclear, seen, nil
}

// mongoNames are the names in an array of documents, as many as can be shown.
func mongoNames(databases bsonValue) []string {
	var names []string
	for element := range bsonElements(databases.bytes) {
		database, err := parseBSON(element.value.bytes)
		if err != nil || element.value.kind != bsonObject || len(names) == seenRunes {
			break
		}
		names = append(names, database["name"].text())
	}
	return names
}

// bsonNumber is the value of any of BSON's kinds of number.
func bsonNumber(v bsonValue) (float64, bool) {
	switch v.kind {
	case bsonDouble:
		return math.Float64frombits(binary.LittleEndian.Uint64(v.bytes)), true
	case bsonInt32:
		return float64(int32(binary.LittleEndian.Uint32(v.bytes))), true
	case bsonInt64:
		return float64(int64(binary.LittleEndian.Uint64(v.bytes))), true
	case bsonBool:
		return float64(v.bytes[0]), true
	}
	return 0, false
}

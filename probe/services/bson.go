package services

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
)

// The kinds of values that are built or looked at, and those that only have to
// be skipped (https://bsonspec.org/spec.html).
const (
	bsonDouble    = 0x01
	bsonString    = 0x02
	bsonObject    = 0x03
	bsonArray     = 0x04
	bsonBinary    = 0x05
	bsonUndefined = 0x06
	bsonObjectID  = 0x07
	bsonBool      = 0x08
	bsonDate      = 0x09
	bsonNull      = 0x0a
	bsonInt32     = 0x10
	bsonTimestamp = 0x11
	bsonInt64     = 0x12
	bsonDecimal   = 0x13
)

// bsonValue is a value as it stands in a document.
type bsonValue struct {
	kind  byte
	bytes []byte
}

// text is a string's; empty for what is none.
func (v bsonValue) text() string {
	if v.kind != bsonString {
		return ""
	}
	return string(bytes.TrimSuffix(v.bytes[4:], []byte{0}))
}

type bsonNamed struct {
	name  string
	value bsonValue
}

var errBSON = errors.New("not a BSON document of kinds that are known")

// parseBSON reads a document, which ends with p or before. Of elements of one
// name the last counts. Documents within it are left as they are.
func parseBSON(p []byte) (map[string]bsonValue, error) {
	if bsonLength(p) < 0 {
		return nil, errBSON
	}
	elements := map[string]bsonValue{}
	for e := range bsonElements(p) {
		if e.value.bytes == nil {
			return nil, errBSON
		}
		elements[e.name] = e.value
	}
	return elements, nil
}

// bsonLength is a document's length, or -1 where p holds none.
func bsonLength(p []byte) int {
	if len(p) < 5 {
		return -1
	}
	length := binary.LittleEndian.Uint32(p)
	if length < 5 || uint64(length) > uint64(len(p)) || p[length-1] != 0 {
		return -1
	}
	return int(length)
}

// bsonElements goes over a document's elements. One that is malformed or of a
// kind unknown here comes last, with nil for its bytes.
func bsonElements(p []byte) iter.Seq[bsonNamed] {
	return func(yield func(bsonNamed) bool) {
		length := bsonLength(p)
		if length < 0 {
			yield(bsonNamed{})
			return
		}
		for rest := p[4 : length-1]; len(rest) > 0; {
			kind := rest[0]
			name, after, found := bytes.Cut(rest[1:], []byte{0})
			size := bsonSize(kind, after)
			if !found || size < 0 {
				yield(bsonNamed{})
				return
			}
			if !yield(bsonNamed{string(name), bsonValue{kind, after[:size:size]}}) {
				return
			}
			rest = after[size:]
		}
	}
}

// bsonSize is how many bytes a value at the beginning of p takes, or -1.
func bsonSize(kind byte, p []byte) int {
	size := -1
	switch kind {
	case bsonUndefined, bsonNull:
		size = 0
	case bsonBool:
		size = 1
	case bsonInt32:
		size = 4
	case bsonDouble, bsonDate, bsonTimestamp, bsonInt64:
		size = 8
	case bsonObjectID:
		size = 12
	case bsonDecimal:
		size = 16
	case bsonObject, bsonArray:
		return bsonLength(p)
	case bsonString:
		// A length that counts the closing NUL.
		if counted := bsonCounted(p); counted >= 1 {
			size = 4 + counted
		}
	case bsonBinary:
		if counted := bsonCounted(p); counted >= 0 {
			size = 4 + 1 + counted
		}
	}
	if size > len(p) {
		return -1
	}
	return size
}

// bsonCounted is a length that stands before bytes of p, or -1.
func bsonCounted(p []byte) int {
	if len(p) < 4 {
		return -1
	}
	counted := binary.LittleEndian.Uint32(p)
	if uint64(counted) > uint64(len(p)) {
		return -1
	}
	return int(counted)
}

func bsonElement(kind byte, name string, value []byte) []byte {
	return append(append(append([]byte{kind}, name...), 0), value...)
}

func bsonText(s string) []byte {
	return append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(s)+1)), s...), 0)
}

func bsonDocument(elements ...[]byte) []byte {
	body := bytes.Join(elements, nil)
	document := binary.LittleEndian.AppendUint32(nil, uint32(len(body)+5))
	return append(append(document, body...), 0)
}

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

const (
	callKind   = 1
	returnKind = 2
	errorKind  = 3
	signalKind = 4
)

// Fields of a header. Source: D-Bus specification, "Header Fields".
const (
	fieldPath      = 1
	fieldInterface = 2
	fieldMember    = 3
	fieldErrorName = 4
	fieldReplyTo   = 5
	fieldSignature = 8
	fieldFiles     = 9
)

// Nothing that a kubelet sends here is longer.
const longest = 1 << 16

type message struct {
	kind      byte
	serial    uint32
	path      string
	iface     string
	member    string
	errorName string
	replyTo   uint32
	signature string
	files     uint32
	body      []byte
}

func (m message) encode() []byte {
	fields := &writer{}
	add := func(field byte, signature string, isThere bool, write func()) {
		if isThere {
			fields.align(8).u8(field).signature(signature)
			write()
		}
	}
	add(fieldPath, "o", m.path != "", func() { fields.text(m.path) })
	add(fieldInterface, "s", m.iface != "", func() { fields.text(m.iface) })
	add(fieldMember, "s", m.member != "", func() { fields.text(m.member) })
	add(fieldErrorName, "s", m.errorName != "", func() { fields.text(m.errorName) })
	add(fieldReplyTo, "u", m.replyTo != 0, func() { fields.u32(m.replyTo) })
	add(fieldSignature, "g", m.signature != "", func() { fields.signature(m.signature) })
	add(fieldFiles, "u", m.files != 0, func() { fields.u32(m.files) })
	out := (&writer{}).u8('l').u8(m.kind).u8(0).u8(1).u32(uint32(len(m.body))).u32(m.serial).u32(uint32(len(fields.bytes)))
	out.bytes = append(out.bytes, fields.bytes...) // begins at 16, so that what is aligned there stays aligned
	return append(out.align(8).bytes, m.body...)
}

// What is asked for: member and interface, little or big endian.
func readMessage(in *bufio.Reader) (message, error) {
	var head [16]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return message{}, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[0] == 'B' {
		order = binary.BigEndian
	}
	bodyLength, fieldsLength := order.Uint32(head[4:]), order.Uint32(head[12:])
	if bodyLength > longest || fieldsLength > longest {
		return message{}, fmt.Errorf("a message of %d bytes", bodyLength)
	}
	rest := make([]byte, (fieldsLength+7)/8*8+bodyLength)
	if _, err := io.ReadFull(in, rest); err != nil {
		return message{}, err
	}
	found := message{kind: head[1], serial: order.Uint32(head[8:])}
	fields := &reader{bytes: rest[:fieldsLength], order: order}
	for fields.at < len(fields.bytes) && fields.fault == nil {
		fields.align(8)
		field, signature := fields.u8(), fields.signature()
		var text string
		switch signature {
		case "s", "o":
			text = fields.text()
		case "g":
			text = fields.signature()
		case "u":
			fields.u32()
		default:
			return message{}, fmt.Errorf("a field of type %q", signature)
		}
		switch field {
		case fieldInterface:
			found.iface = text
		case fieldMember:
			found.member = text
		}
	}
	return found, fields.fault
}

type writer struct{ bytes []byte }

func (w *writer) align(to int) *writer {
	for len(w.bytes)%to != 0 {
		w.bytes = append(w.bytes, 0)
	}
	return w
}

func (w *writer) u8(value byte) *writer {
	w.bytes = append(w.bytes, value)
	return w
}

func (w *writer) u32(value uint32) *writer {
	w.align(4)
	w.bytes = binary.LittleEndian.AppendUint32(w.bytes, value)
	return w
}

func (w *writer) u64(value uint64) *writer {
	w.align(8)
	w.bytes = binary.LittleEndian.AppendUint64(w.bytes, value)
	return w
}

func (w *writer) text(value string) *writer {
	w.u32(uint32(len(value)))
	w.bytes = append(append(w.bytes, value...), 0)
	return w
}

func (w *writer) signature(value string) *writer {
	w.u8(byte(len(value)))
	w.bytes = append(append(w.bytes, value...), 0)
	return w
}

type reader struct {
	bytes []byte
	order binary.ByteOrder
	at    int
	fault error
}

func (r *reader) align(to int) { r.at = (r.at + to - 1) / to * to }

func (r *reader) take(length int) []byte {
	if length < 0 || r.at+length > len(r.bytes) {
		r.fault, r.at = io.ErrUnexpectedEOF, len(r.bytes)
		return make([]byte, 4)
	}
	taken := r.bytes[r.at : r.at+length]
	r.at += length
	return taken
}

func (r *reader) u8() byte { return r.take(1)[0] }

func (r *reader) u32() uint32 {
	r.align(4)
	return r.order.Uint32(r.take(4))
}

func (r *reader) text() string {
	value := string(r.take(int(r.u32())))
	r.take(1)
	return value
}

func (r *reader) signature() string {
	value := string(r.take(int(r.u8())))
	r.take(1)
	return value
}

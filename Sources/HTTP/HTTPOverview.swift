// HTTP: HTTP/1.1 messages, bytes in and values out, strict by RFC 9112 in both directions.
//
// It refuses to guess: whatever two parties could read differently (two lengths, a bare LF, a folded line, a space before a colon) is an
// error with a status and a reason, never a message. It knows no socket, no clock and no route.
//
// In: contiguous bytes and the position scanned so far. Out: `MessageHead` (offsets into those bytes), `BodyFraming`, chunk events.
// A head refers to the bytes it was parsed from; use it before they move. Nothing here allocates once a `MessageHead` exists.
//
// Next file: `MessageHead.swift`.

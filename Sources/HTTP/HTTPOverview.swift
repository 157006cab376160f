// HTTP: connections and messages of HTTP/1.1 and HTTP/2, bytes in and values out, strict by RFC 9112 and RFC 9113 in both directions.
//
// It refuses to guess: whatever two parties could read differently (two lengths, a bare LF, a folded line, a space before a colon) is an
// error with a status and a reason, never a message. It knows no socket, no clock and no route.
//
// A connection (`HTTPServerConnection`, `HTTPClientConnection`) is given bytes and puts what they say into its owner's `HTTPInbox`: head,
// data, end, closed. The events and commands of both versions are the same (`HTTP1Connection`, `HTTP2Session` over libnghttp2).
//
// A `MessageHead` refers to the bytes it was parsed from; `keep` (`HeadEditing.swift`) makes it outlive them, and then its fields may be
// changed. `HeadWriting.swift` writes it. Connections that are warm allocate nothing for a message.
//
// Next file: `HTTPInbox.swift`, then `MessageHead.swift`.

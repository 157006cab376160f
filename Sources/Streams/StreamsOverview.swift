// Streams: the bytes of a connection, whatever carries them.
//
// A `ByteStream` is a descriptor, perhaps with a `TransportLayer` on it (none = the bytes are the socket's own), what is known of its
// readiness, and what waits to be written. It is the only caller of read, write and splice on a connection. It knows no protocol and no
// loop: whoever owns it registers the descriptor, hands in what the poller says (`note`) and asks for bytes until there are none.
//
// Next file: `ByteStream.swift`.

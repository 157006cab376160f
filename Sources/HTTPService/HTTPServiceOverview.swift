// HTTPService: the process's own endpoints (receivers, queries, metrics, admin) on the same loop parts and HTTP code as the proxy.
//
// A `ServiceServer` is one thread that speaks HTTP/1.1 and HTTP/2 on every port, reads requests, bounded in every direction, and gives
// them to a `ServiceHandler`: whole, or as they stream to one that asked for it. The handler answers at once or later, from any thread,
// through a `Responder`. What a path means is none of its business, and which version a client speaks is no business of the handler's.
//
// Bytes go `ByteStream` → `HTTPServerConnection` → events → `ServiceExchange` (one request) → handler, and back the same way.
// A listener may have TLS (`ServiceListener.tls`): then `ServiceHandshakes` stands before the first request, and `ServiceRequest.client`
// says who the client is by its certificate.
// The other way round, a `BlockingConnection` is a client's, whose thread waits; `HTTPClient` is one request of a tool on one.
// Threads: a server lives on its thread, except `Responder`, which any thread may use; a connection of a client on its caller's.
// Next file: `ServiceServer.swift`.

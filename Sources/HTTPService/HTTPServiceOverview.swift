// HTTPService: the process's own endpoints (receivers, queries, metrics, admin) on the same loop parts and HTTP code as the proxy.
//
// A `ServiceServer` is one thread that reads whole requests, bounded in every direction, and gives them to a `ServiceHandler`. The handler
// answers at once or later, from any thread, through a `Responder`. What a path means is none of its business.
//
// Threads: everything here lives on the server's thread, except `Responder`, which any thread may use.
// Next file: `ServiceServer.swift`.

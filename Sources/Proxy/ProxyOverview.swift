// Proxy: listeners, connections, upstream pools and the life of one request.
//
// A `ProxyWorker` is one thread with one epoll loop. It owns every connection it accepted, its upstream pools, its counters and one end of
// its record ring; nothing of it is shared, so nothing is locked. Configuration comes in as `ProxyConfiguration`, adopted whole between two
// turns of the loop; records and counters go out through `RecordRing` and `REDShard`. It knows no YAML, no file and no collector.
//
// Rules of the request path: no allocation once warm, no reference counting, no String, no existential. Connections and exchanges live in slabs
// and name each other by generation-checked handles; nothing is freed before the end of the turn (`reap`), so pointers stay good within one.
//
// Files in the order of a request: `ListenerSocket`, `DownstreamReading`, `RequestForwarding`, `UpstreamPools`, `UpstreamReading`,
// `ExchangeEnding`. `LocalReplies`, `Tunnelling` and `Timeouts` are the ways off that road.
//
// Next file: `ProxyWorker.swift`.

// Proxy: listeners, connections, upstream pools and the life of one request.
//
// A `ProxyWorker` is one thread with one epoll loop. It owns every connection it accepted, its upstream pools, its counters and one end of
// its record ring; nothing of it is shared, so nothing is locked. Configuration comes in as `ProxyConfiguration`, adopted whole between two
// turns of the loop; records and counters go out through `RecordRing` and `REDShard`. It knows no YAML, no file and no collector.
//
// Rules of the request path: no allocation once warm, no reference counting (`Held`), no String, no existential, no copy of something large for a
// little of it (methods of the worker are `mutating`, tables are read in place). Connections and exchanges live in slabs and name each other by
// generation-checked handles; nothing is freed before the end of the turn (`reap`), so pointers stay good within one.
//
// Folders in the order of a request: `Worker` (the loop, listeners, configurations, bounds), `Downstream` (clients' bytes), `Request` (what is done with one before it
// is sent, answers of our own included), `Attempts` (endpoint, limits, retries), `Upstream` (connections to endpoints), `Response`; `Tunnels` is the way off that road.
//
// Next file: `Worker/ProxyWorker.swift`.

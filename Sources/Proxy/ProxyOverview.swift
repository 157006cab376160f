// Proxy: listeners, connections, upstream pools; requests, tunnels and mirrored copies from beginning to end.
//
// A `ProxyWorker` is one thread with one epoll loop. It owns every connection it accepted, its pools, its counters and one end of its
// record ring; nothing of it is shared, so nothing is locked. `ProxyConfiguration` comes in, adopted whole between two turns of the loop;
// records and counters go out through `RecordRing`, `REDShard` and `TCPShard`. It knows no YAML, no file and no collector.
//
// Folders, from bottom to top:
//   Settings   bounds, configurations (`Epoch`), what workers share and are told
//   Loop       poller, timers and the clock of one worker
//   Clients    connections of clients (`Downstreams`), and listeners
//   Upstreams  connections to endpoints, their pools, the choice of an endpoint, health checks
//   Records    what is counted, logged and traced of a request
//   Heads      parts of heads: response heads, field rules, trailers
//   Steps      what is done with a request before it is sent, one file for each step or two
//   Requests   the machine: `Request`, the order of its steps, its attempts; and `MirrorCopy`
//   Checks     `AuthorizationCheck`, a question to an external authorizer; what it is told and what its answer changes
//   Tunnels    `Tunnel`, what is known of one
//   Worker     `ProxyWorker` ─▶ `Traffic` ─▶ tunnels, copies, checks, responses ─▶ `Sides`, which has all of the connections
//
// The rule: parts refer downwards, and nothing below `Worker` calls it. What happened is an event in the inbox. What is to be done is
// returned as an action, and `Traffic` does it. Two things are used from below: `Request` with the small values it is made of, which
// everybody is given; and the fields that CORS and rate limits add to a response, for which its head asks `Steps`.
//
// Rules of the request path: no allocation once warm, no reference counting (`Held`), no String, no existential. Large noncopyable values
// are passed `inout`, also where nothing changes: borrowed ones would be copied whole. Handles have generations, and a stale one traps.
// Nothing is freed before the end of the turn (`Traffic.reapEnded`), so addresses stay good within one.
//
// Next file: `Requests/RequestStep.swift` for the order of a request, then `Worker/ProxyWorker.swift`.

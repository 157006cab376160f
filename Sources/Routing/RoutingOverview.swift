// Routing: which cluster and endpoint a request goes to, decided by pure functions over tables compiled from the configuration.
//
// `RouteCompiler` turns a `MeshConfiguration`, a node and the DNS answers into a `RoutingSnapshot`: immutable memory with every name
// interned and every regex compiled. `RoutingTables` are plain pointers into it, which a worker reads without reference counting or locks.
// It opens no socket, reads no clock and holds no traffic state: loads and random draws are parameters.
//
// Invariant: a request sees one snapshot. The same functions that route traffic will explain it.
// Rooms: `Compile` makes the tables, `Tables` are what requests read, `Decide` reads them, `Explain` says them in words.
// Next file: `Tables/RoutingTables.swift`.

// Routing: which cluster and endpoint a request goes to, decided by pure functions over tables compiled from the configuration.
//
// `RouteCompiler` turns a `MeshConfiguration`, a node and the DNS answers into a `RoutingSnapshot`: immutable memory with every name
// interned and every regex compiled. `RoutingTables` are one plain pointer into it, which a worker reads without reference counting or
// locks. It opens no socket, reads no clock and holds no traffic state: loads and random draws are parameters.
//
// Rooms, and who knows whom: `Tables` are what requests read and know no other room; `Decide` reads them; `Explain` says in words what
// `Decide` decides; `Compile` makes the tables, by small compilers that share one `SnapshotBuilder`. A new kind of entry is a `Table` in
// `Tables/TableRows.swift` and its growing counterpart in `Compile/SnapshotBuilder.swift`.
//
// Invariant: a request sees one snapshot. The functions that route traffic are those that explain it.
// Next file: `Tables/RoutingTables.swift`.

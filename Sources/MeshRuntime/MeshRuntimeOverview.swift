// MeshRuntime: composition. What starts and stops in which order, and how configuration reaches everybody.
//
// `SkeinProcess` starts the store first and the proxy last (consumers before producers) and stops them the other way round. The main thread
// is the control thread: it waits for signals, watches files, compiles configurations and publishes them. The proxy and the telemetry side
// never meet anywhere else.
//
// Next file: `Process/SkeinProcess.swift`, then `Process/MeshNode.swift`.

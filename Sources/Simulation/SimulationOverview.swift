// Simulation: a world for a worker, made of values and one seed. For tests only; never linked into `skein`.
//
// Time stands still until `SimulatedClock.advance` moves it, and everything that happens, happens then and in one order. `SimulatedNetwork`
// stands for the kernel: connections with latency and bounded buffers, refusals, half-closes and resets, reads and writes of part of what
// was asked for. Behind it are endpoints that answer by a script (`SimulatedEndpoint`, `SimulatedHTTP2Endpoint`) and clients that ask
// (`SimulatedClient`, `SimulatedHTTP2Client`). The HTTP/1.1 side reads messages by its own simple rules (`MessageReader`), so that it does
// not agree with our parser because it is our parser.
//
// Data in: scripts and a seed. Data out: what clients and endpoints got. Everything is used on one thread.
//
// Next file: `SimulatedNetwork.swift`.

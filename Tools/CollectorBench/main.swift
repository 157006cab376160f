// Measures the collector's own share on one machine: `swift run -c release CollectorBench [pump|receive|otlp|spans]`.
//
// `pump`: CPU of the pump's thread for each record, with a JSON access log to a file. `receive`: CPU of the server's thread for each span
// of Zipkin JSON, 256 spans a request over loopback, with a sink that does nothing. `otlp`: the same for OTLP, over HTTP/1.1 and over gRPC.
// `spans`: CPU for each span of making metrics from it.
import Collector
import EventLoops
import HTTPService
import Primitives
import TelemetryModel
import TelemetryWire

let only = CommandLine.arguments.dropFirst().first
if only == nil || only == "pump" {
    try benchPump(outputs: 1, sampledEvery: 100)
    try benchPump(outputs: 0, sampledEvery: 0)
}
if only == nil || only == "receive" { try benchReceive() }
if only == nil || only == "otlp" { try benchOTLP() }
if only == nil || only == "spans" { try benchSpanMetrics() }

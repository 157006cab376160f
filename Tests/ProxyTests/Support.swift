import HTTP
import MeshConfig
import OutlierDetection
import Primitives
import Proxy
import Routing
import TelemetryModel
import Testing

/// Calls `body` with the bytes of a text.
func withBytes<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    let bytes = Array(text.utf8)
    return unsafe try bytes.withUnsafeBytes { buffer in unsafe try body(buffer) }
}

extension ByteBuffer {
    var bytes: [UInt8] { unsafe Array(readable) }
}

/// A configuration of Istio resources that no worker shares the counts of. `outbound`: where it listens; nil = nowhere.
func configuration(_ yaml: String = "", generation: UInt64 = 1, outbound: SocketEndpoint? = nil) throws -> ProxyConfiguration {
    let (mesh, list) = MeshConfiguration.load(texts: [(name: "t.yaml", text: yaml)])
    try #require(!list.hasErrors, "\(list.items.map(\.text))")
    var inputs = CompileInputs(node: NodeIdentity(), catalogs: Catalogs())
    inputs.generation = generation
    inputs.outboundListener = outbound
    let (routing, _) = RouteCompiler.compile(mesh, inputs)
    var telemetry = TelemetryPlan()
    telemetry.outbound.isRecorded = true
    return ProxyConfiguration(
        routing: routing, telemetry: telemetry, pathNormalization: .base,
        upstreams: UpstreamPlan(
            clusters: [ClusterSlot](repeating: .none, count: routing.clusterCount),
            endpoints: [EndpointSlot](repeating: .none, count: routing.endpointCount),
            thresholds: [OutlierThresholds](repeating: .off, count: routing.clusterCount)))
}

import EventLoops
import Glibc
import HTTP
import MeshConfig
import OutlierDetection
import Primitives
@testable import Proxy
import Routing
import TelemetryModel
import Testing

/// What the log tells of requests whose heads were never read whole. The others are sent end to end; this one takes half a minute there.
@Suite struct EarlyRefusalTests {
    @Test func aHeadThatNeverEndsIsLoggedAsFarAsItCame() throws {
        let (mesh, _) = MeshConfiguration.load(texts: [(name: "t.yaml", text: "")])
        let probe = try Socket.listen(on: SocketEndpoint(ipv4: 0x7F00_0001, port: 0), reusePort: true)
        defer { Socket.close(probe) }
        var inputs = CompileInputs(node: NodeIdentity(), catalogs: Catalogs())
        inputs.outboundListener = Socket.localEndpoint(probe)
        let (routing, _) = RouteCompiler.compile(mesh, inputs)
        var telemetry = TelemetryPlan()
        telemetry.outbound.isRecorded = true
        let configuration = ProxyConfiguration(
            routing: routing, telemetry: telemetry, pathNormalization: .base,
            upstreams: UpstreamPlan(
                clusters: [ClusterSlot](repeating: .none, count: routing.clusterCount), endpoints: [EndpointSlot](repeating: .none, count: routing.endpointCount),
                thresholds: [OutlierThresholds](repeating: .off, count: routing.clusterCount)))
        let handle = try WorkerHandle(limits: ProxyLimits(), ringBytes: 1 << 16, shared: SharedUpstreams(seed: 1))
        var worker = ProxyWorker(handle: handle, poller: try Poller(), configuration: configuration, seed: 1)
        worker.adoptListeners(routing.listeners)
        defer { worker.listeners[0].close() }

        var ends: [Int32] = [-1, -1]
        unsafe #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer { close(ends[0]) }
        let client = SocketEndpoint(ipv4: 0x0A00_0001, port: 4711)
        var connection = DownstreamConnection(fd: ends[1], listener: 0, remote: client, local: client, deadline: worker.now)
        connection.input.append("PATCH /slow?a=b HTTP/1.1\r\nX-A: b\r\nHost: a.test\r\nX-")
        guard let id = worker.downstreams.insert(connection) else {
            Issue.record("no place")
            return
        }
        worker.setDeadline(ofDownstream: id, .header, after: 1_000_000)
        worker.now = worker.now + 10_000_000_000
        worker.fireTimers()

        var answer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe answer.withUnsafeMutableBytes { unsafe read(ends[0], $0.baseAddress, $0.count) }
        #expect(String(decoding: answer[..<max(0, count)], as: UTF8.self).hasPrefix("HTTP/1.1 408 Request Timeout\r\n"))
        var seen: [String?] = []
        unsafe _ = handle.ring.drain(limit: 10) { bytes in
            guard let view = unsafe RequestRecordView(RawSpan(_unsafeBytes: bytes)) else { return }
            #expect(view.record.responseCode == 408 && view.record.downstreamRemote == client && view.record.flags.contains(.downstreamProtocolError))
            for slot in [RequestText.method, .path, .authority, .userAgent] {
                guard let span = view.text(slot) else {
                    seen.append(nil)
                    continue
                }
                let text = (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
                seen.append(String(decoding: text, as: UTF8.self))
            }
        }
        #expect(seen == ["PATCH", "/slow?a=b", "a.test", nil])
    }
}

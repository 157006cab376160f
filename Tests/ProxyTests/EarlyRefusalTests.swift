import EventLoops
import Glibc
import Primitives
@testable import Proxy
import Streams
import TelemetryModel
import Testing

/// What the log tells of requests whose heads were never read whole. The others are sent end to end; this one takes half a minute there.
@Suite struct EarlyRefusalTests {
    @Test func aHeadThatNeverEndsIsLoggedAsFarAsItCame() throws {
        let probe = try Socket.listen(on: SocketEndpoint(ipv4: 0x7F00_0001, port: 0), reusePort: true)
        defer { Socket.close(probe) }
        let handle = try WorkerHandle(
            limits: ProxyLimits(), ringBytes: 1 << 16, shared: SharedUpstreams(seed: 1), sources: SourceCatalog())
        let plan = try configuration(outbound: Socket.localEndpoint(probe))
        var worker = ProxyWorker(handle: handle, poller: try Poller(), configuration: plan, seed: 1)
        defer { worker.traffic.sides.downstreams.closeAll() }

        var ends: [Int32] = [-1, -1]
        unsafe #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | UInt32(SOCK_NONBLOCK.rawValue)), 0, &ends) == 0)
        defer { close(ends[0]) }
        let client = SocketEndpoint(ipv4: 0x0A00_0001, port: 4711)
        guard let id = worker.traffic.sides.downstreams.addConnection(ByteStream(descriptor: ends[1]), client, 0, &worker.traffic.sides.loop) else {
            Issue.record("no place")
            return
        }
        let head = Array("PATCH /slow?a=b HTTP/1.1\r\nX-A: b\r\nHost: a.test\r\nX-".utf8)
        unsafe #expect(write(ends[0], head, head.count) == head.count)
        worker.traffic.dispatch(LoopToken(.downstream, id), [.readable])
        worker.traffic.finishTurn()
        worker.traffic.sides.loop.set(now: worker.traffic.sides.loop.now + handle.limits.headerTimeoutNanoseconds + 10_000_000)
        worker.traffic.finishTurn()

        var answer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe answer.withUnsafeMutableBytes { unsafe read(ends[0], $0.baseAddress, $0.count) }
        #expect(String(decoding: answer[..<max(0, count)], as: UTF8.self).hasPrefix("HTTP/1.1 408 Request Timeout\r\n"))
        var seen: [String?] = []
        unsafe _ = handle.ring.drain(limit: 10) { bytes in
            guard let view = unsafe RequestRecordView(RawSpan(_unsafeBytes: bytes)) else { return }
            #expect(view.record.responseCode == 408 && view.record.downstreamRemote == client)
            #expect(view.record.flags.contains(.downstreamProtocolError))
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

import Collector
import EventLoops
import Glibc
import HTTPService
import Primitives
import Synchronization
import TelemetryModel
import TelemetryWire

final class ReceiverHandler: ServiceHandler {
    let receivers: Receivers
    /// CPU of the server's thread when the head of the last request had come.
    let threadCPU = Atomic<UInt64>(0)

    init(_ receivers: Receivers) { self.receivers = receivers }

    func open(_ request: borrowing ServiceRequest) -> ServiceOpening {
        threadCPU.store(SystemClock.threadCPUNanoseconds(), ordering: .relaxed)
        return receivers.open(request) ?? .collect
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        receivers.handle(request, responder) ?? .respond(.text(404, "no such path"))
    }
}

/// A body of `count` spans with ten tags each, about 670 bytes a span.
func zipkinBody(count: Int) -> [UInt8] {
    var random = RandomSource(seed: 7)
    func hex(_ value: UInt64) -> String { String(repeating: "0", count: 16 - String(value, radix: 16).count) + String(value, radix: 16) }
    var text = "["
    for index in 0..<count {
        if index > 0 { text += "," }
        let trace = hex(random.next() | 1) + hex(random.next())
        text += """
            {"traceId":"\(trace)","parentId":"\(hex(random.next() | 1))","id":"\(hex(random.next() | 1))",\
            "kind":"SERVER","name":"get /api/orders/{id}",\
            "timestamp":176075142031\(1000 + index),"duration":\(1000 + random.below(90000)),\
            "localEndpoint":{"serviceName":"service-\(index % 12)","ipv4":"10.1.2.\(index % 250)","port":8080},\
            "remoteEndpoint":{"serviceName":"frontend","ipv4":"10.1.3.4","port":41234},\
            "tags":{"http.method":"GET","http.path":"/api/orders/\(random.below(100000))","http.status_code":"200",\
            "http.host":"orders.example.com",\
            "component":"http","peer.address":"10.1.3.4:41234","request.id":"\(hex(random.next()))\(hex(random.next()))",\
            "instance":"pod-7f9c4d-x\(index % 9)",\
            "region":"eu-central-1","version":"1.24.3"}}
            """
    }
    return Array((text + "]").utf8)
}

func benchReceive() throws {
    let statistics = CollectorStatistics()
    let sink = NullSink()
    let handler = ReceiverHandler(Receivers(sink: sink, statistics: statistics))
    let server = try ServiceServer(
        name: "bench", endpoints: [SocketEndpoint(ipv4: 0x7F00_0001, port: 0)], limits: ServiceLimits(), handler: handler)
    let spans = 256
    let body = zipkinBody(count: spans)
    let head = Array(
        "POST /api/v2/spans HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: \(body.count)\r\n\r\n".utf8)
    let message = head + body
    let fd = try Socket.connect(to: server.endpoints[0])
    var waiting = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
    _ = unsafe poll(&waiting, 1, 1000)
    _ = fcntl(fd, F_SETFL, 0)
    var answer = [UInt8](repeating: 0, count: 4096)
    var first: UInt64 = 0
    let requests = 4000
    for request in 0..<requests + 200 {
        if request == 200 { first = handler.threadCPU.load(ordering: .relaxed) }
        var sent = 0
        while sent < message.count {
            let count = unsafe message.withUnsafeBytes { unsafe write(fd, $0.baseAddress.unsafelyUnwrapped + sent, message.count - sent) }
            guard count > 0 else { return }
            sent += count
        }
        let count = unsafe answer.withUnsafeMutableBytes { unsafe read(fd, $0.baseAddress, $0.count) }
        guard count > 12, answer[9] == UInt8(ascii: "2") else {
            return print("unexpected answer \(String(decoding: answer.prefix(max(0, count)), as: UTF8.self))")
        }
    }
    let cpu = handler.threadCPU.load(ordering: .relaxed) - first
    server.stop()
    Socket.close(fd)
    print(
        "receive Zipkin JSON: \(cpu / UInt64(requests * spans)) ns of CPU of the server's thread a span, \(body.count / spans) bytes a "
            + "span, "
            + "\(sink.spans.load(ordering: .relaxed)) spans")
}

import Collector
import EventLoops
import Glibc
import HTTPService
import Primitives
import Synchronization
import TelemetryModel
import TelemetryWire

/// An `ExportTraceServiceRequest` of `count` spans with ten attributes each, about 530 bytes a span.
private func otlpBody(count: Int) -> [UInt8] {
    var random = RandomSource(seed: 7)
    func varint(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
    func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2] + varint(UInt64(bytes.count)) + bytes }
    func fixed(_ number: UInt8, _ value: UInt64) -> [UInt8] {
        [number << 3 | 1] + (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
    func attribute(_ key: String, _ value: String) -> [UInt8] { field(1, Array(key.utf8)) + field(2, field(1, Array(value.utf8))) }
    func id(_ bytes: Int) -> [UInt8] { (0..<bytes).map { _ in UInt8(truncatingIfNeeded: random.next() | 1) } }
    var spans: [UInt8] = []
    for index in 0..<count {
        let begin = 1_760_751_420_310_000_000 + UInt64(index) * 1000
        var span = field(1, id(16)) + field(2, id(8)) + field(4, id(8)) + field(5, Array("GET /api/orders/{id}".utf8)) + [6 << 3, 2]
        span += fixed(7, begin) + fixed(8, begin + 1_000_000)
        let attributes = [
            ("http.request.method", "GET"), ("url.path", "/api/orders/\(random.below(100_000))"), ("http.response.status_code", "200"),
            ("server.address", "orders.example.com"), ("component", "http"), ("network.peer.address", "10.1.3.4:41234"),
            ("request.id", "\(random.next())"), ("instance", "pod-7f9c4d-x\(index % 9)"), ("region", "eu-central-1"), ("version", "1.24.3"),
        ]
        for (key, value) in attributes { span += field(9, attribute(key, value)) }
        spans += field(2, span)
    }
    return field(1, field(1, field(1, attribute("service.name", "orders"))) + field(2, spans))
}

/// A blocking socket to the server.
private struct Sender {
    let fd: Int32

    init(_ endpoint: SocketEndpoint) throws {
        fd = try Socket.connect(to: endpoint)
        var waiting = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&waiting, 1, 1000)
        _ = fcntl(fd, F_SETFL, 0)
    }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { unsafe write(fd, $0.baseAddress.unsafelyUnwrapped + sent, bytes.count - sent) }
            precondition(count > 0, "the server closed the connection")
            sent += count
        }
    }

    func receive(into buffer: inout [UInt8]) {
        var piece = [UInt8](repeating: 0, count: 4096)
        let count = unsafe piece.withUnsafeMutableBytes { unsafe read(fd, $0.baseAddress, $0.count) }
        precondition(count > 0, "the server closed the connection")
        buffer += piece[..<count]
    }
}

/// Sends the same request again and again over one connection, by either version, and counts its answers.
private enum OTLPSender {
    case http1(Sender, message: [UInt8])
    case grpc(Sender, message: [UInt8], stream: UInt32, received: [UInt8])

    static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: some Collection<UInt8>) -> [UInt8] {
        func bytes(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
        return bytes(UInt32(payload.count)).dropFirst() + [type, flags] + bytes(stream) + payload
    }

    static func http1(_ endpoint: SocketEndpoint, _ body: [UInt8]) throws -> OTLPSender {
        let head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: \(body.count)\r\n\r\n"
        return .http1(try Sender(endpoint), message: Array(head.utf8) + body)
    }

    static func grpc(_ endpoint: SocketEndpoint, _ body: [UInt8]) throws -> OTLPSender {
        let sender = try Sender(endpoint)
        sender.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4, 0, 0, []))
        // The server's windows hold from our acknowledgement of its SETTINGS on, which come first (RFC 9113 3.4, 6.9.2).
        var settings: [UInt8] = []
        sender.receive(into: &settings)
        sender.send(frame(4, 1, 0, []))
        let length = (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (24 - 8 * $0)) }
        return .grpc(sender, message: [0] + length + body, stream: 1, received: settings)
    }

    mutating func exchange() {
        switch self {
        case .http1(let sender, let message):
            sender.send(message)
            var answer: [UInt8] = []
            sender.receive(into: &answer)
            precondition(answer.count > 12 && answer[9] == UInt8(ascii: "2"), String(decoding: answer, as: UTF8.self))
        case .grpc(let sender, let message, let stream, var received):
            func text(_ text: String) -> [UInt8] { [UInt8(text.utf8.count)] + Array(text.utf8) }
            // :method POST and :scheme http of the static table, the others as they are.
            let block = [0x83, 0x86, 0x04] + text("/opentelemetry.proto.collector.trace.v1.TraceService/Export") + [0x01] + text("x")
                + [0x0F, 0x10] + text("application/grpc") + [0x00] + text("te") + text("trailers")
            var bytes = Self.frame(1, 4, stream, block)
            var start = 0
            while start < message.count {
                let end = min(start + 16_384, message.count)
                bytes += Self.frame(0, end == message.count ? 1 : 0, stream, message[start..<end])
                start = end
            }
            sender.send(bytes)
            Self.awaitEnd(sender, stream, &received)
            self = .grpc(sender, message: message, stream: stream + 2, received: received)
        }
    }

    /// Reads frames up to the one that ends the stream, which must be the trailers behind a message.
    private static func awaitEnd(_ sender: Sender, _ stream: UInt32, _ received: inout [UInt8]) {
        var sawData = false
        while true {
            while received.count >= 9 {
                let length = Int(received[0]) << 16 | Int(received[1]) << 8 | Int(received[2])
                guard received.count >= 9 + length else { break }
                let (type, flags) = (received[3], received[4])
                let number = received[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                received.removeFirst(9 + length)
                precondition(type != 3 && type != 7, "the server ended the stream or the connection")
                guard number == stream else { continue }
                if type == 0 { sawData = true }
                if type == 1, flags & 1 == 1 {
                    precondition(sawData, "an error instead of an answer")
                    return
                }
            }
            sender.receive(into: &received)
        }
    }

    func close() {
        switch self {
        case .http1(let sender, _), .grpc(let sender, _, _, _): Socket.close(sender.fd)
        }
    }
}

/// CPU of the server's thread for each span of OTLP, by HTTP/1.1 and by gRPC in turns, so that both meet the same machine.
func benchOTLP() throws {
    let sink = NullSink()
    let handler = ReceiverHandler(Receivers(sink: sink, statistics: CollectorStatistics()))
    let server = try ServiceServer(
        name: "bench", endpoints: [SocketEndpoint(ipv4: 0x7F00_0001, port: 0)], limits: ServiceLimits(), handler: handler)
    let spans = 256
    let body = otlpBody(count: spans)
    var senders = [try OTLPSender.http1(server.endpoints[0], body), try OTLPSender.grpc(server.endpoints[0], body)]
    var cpu: [UInt64] = [0, 0]
    let (rounds, requests) = (10, 300)
    for round in 0..<rounds + 1 {
        for index in senders.indices {
            senders[index].exchange()
            let first = handler.threadCPU.load(ordering: .relaxed)
            for _ in 0..<requests { senders[index].exchange() }
            // The first round warms up.
            if round > 0 { cpu[index] += handler.threadCPU.load(ordering: .relaxed) - first }
        }
    }
    for sender in senders { sender.close() }
    server.stop()
    let total = UInt64(rounds * requests * spans)
    print(
        "receive OTLP: \(cpu[0] / total) ns of CPU of the server's thread a span over HTTP/1.1, \(cpu[1] / total) over gRPC, "
            + "ratio \(Double(cpu[1] * 1000 / max(1, cpu[0])) / 1000); \(body.count / spans) bytes a span, "
            + "\(sink.spans.load(ordering: .relaxed)) spans")
}

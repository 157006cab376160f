@testable import Collector
import EventLoops
import Glibc
import HTTPService
import Primitives
import Synchronization
import Testing
import TelemetryModel
import TelemetryWire

// MARK: Records

func recordBytes(_ record: RequestRecord, _ texts: [String?]) -> [UInt8] {
    var record = record
    record.textCount = UInt8(texts.count)
    var bytes = unsafe withUnsafeBytes(of: record) { unsafe Array($0) }
    bytes += [UInt8](repeating: 0, count: RequestRecordView.lengthsOffset - bytes.count)
    for text in texts {
        let length = text.map { UInt16($0.utf8.count) } ?? RequestRecordView.absentLength
        bytes += [UInt8(truncatingIfNeeded: length), UInt8(truncatingIfNeeded: length >> 8)]
    }
    for text in texts { bytes += Array((text ?? "").utf8) }
    return bytes
}

func exampleRecord(status: UInt16 = 200, side: ProxySide = .outbound) -> RequestRecord {
    var record = RequestRecord()
    record.startUnixNanoseconds = 1_460_751_420_310_000_000
    record.times.downstreamReceiveEnd = 1_000_000
    record.times.downstreamSendEnd = 13_700_000
    record.traceID = TraceID(high: 1, low: 0xabc)
    record.spanID = SpanID(0xdef)
    record.upstreamRemote = SocketEndpoint(ipv4: 0x0A00_0003, port: 9080)
    record.upstreamLocal = SocketEndpoint(ipv4: 0x0A00_0001, port: 55000)
    record.responseCode = status
    record.side = side
    record.details = .viaUpstream
    return record
}

/// The eight texts of every record; `path` tells records apart.
func exampleTexts(path: String = "/a", method: String = "GET", requestID: String? = "id-1", authority: String = "reviews:9080") -> [String?]
{
    [method, path, path, authority, "curl/8", requestID, nil, "http"]
}

/// Whether the ring had room.
@discardableResult
func put(_ bytes: [UInt8], into ring: RecordRing) -> Bool {
    guard let out = unsafe ring.reserve(bytes.count) else { return false }
    unsafe bytes.withUnsafeBytes { unsafe out.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: $0.count) }
    ring.publish(bytes.count)
    return true
}

// MARK: A sink that can stall and fail

final class FakeSink: BatchSink {
    enum Mode: Sendable { case store, hold, fail(BatchRejection) }

    private struct State {
        var mode = Mode.store
        var stored: [SpanBatch] = []
        var held: [(SpanBatch, @Sendable (Result<Void, BatchRejection>) -> Void)] = []
        var submissions = 0
    }

    private let state = Mutex(State())

    var mode: Mode {
        get { state.withLock { $0.mode } }
        set { state.withLock { $0.mode = newValue } }
    }

    var spans: Int { state.withLock { $0.stored.reduce(0) { $0 + $1.spans.count } } }
    var stored: [SpanBatch] { state.withLock { $0.stored } }
    var submissions: Int { state.withLock { $0.submissions } }
    var heldCount: Int { state.withLock { $0.held.count } }

    func submit(_ batch: consuming SpanBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
        let batch = batch
        let mode = state.withLock { state -> Mode in
            state.submissions += 1
            switch state.mode {
            case .store: state.stored.append(batch)
            case .hold: state.held.append((batch, completion))
            case .fail: break
            }
            return state.mode
        }
        switch mode {
        case .store: completion(.success(()))
        case .hold: break
        case .fail(let rejection): completion(.failure(rejection))
        }
    }

    func release() {
        let held = state.withLock { state -> [(SpanBatch, @Sendable (Result<Void, BatchRejection>) -> Void)] in
            state.mode = .store
            let held = state.held
            state.stored += held.map(\.0)
            state.held = []
            return held
        }
        for (_, completion) in held { completion(.success(())) }
    }
}

// MARK: Files

/// A directory of one test, removed with it.
final class TemporaryDirectory {
    let path: String

    init() {
        var template = Array("/tmp/skein-collector-XXXXXX".utf8CString)
        path = unsafe template.withUnsafeMutableBufferPointer { buffer in
            unsafe String(cString: mkdtemp(buffer.baseAddress.unsafelyUnwrapped))
        }
    }

    deinit {
        for name in names { unsafe unlink(path + "/" + name) }
        unsafe rmdir(path)
    }

    var names: [String] {
        guard let directory = unsafe opendir(path) else { return [] }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    func read(_ name: String) -> String { String(decoding: readFile(path + "/" + name), as: UTF8.self) }
}

func readFile(_ path: String) -> [UInt8] {
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return [] }
    defer { close(fd) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = unsafe piece.withUnsafeMutableBytes { unsafe read(fd, $0.baseAddress, $0.count) }
        guard count > 0 else { return bytes }
        bytes += piece[..<count]
    }
}

// MARK: Plans and pumps

func textOutput(_ path: String, _ format: String) throws -> CollectorPlan.Output {
    CollectorPlan.Output(path: path, format: try AccessLogFormat.text(format))
}

final class Said: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func add(_ line: String) { lines.withLock { $0.append(line) } }
}

/// Waits until `condition` holds; the deadline is far beyond what a busy machine needs.
func eventually(_ what: Comment, within seconds: Double = 20, _ condition: () -> Bool) {
    let end = SystemClock.monotonicNow() + UInt64(seconds * 1e9)
    while !condition() {
        guard SystemClock.monotonicNow() < end else {
            Issue.record(what)
            return
        }
        sched_yield()
        _ = poll(nil, 0, 1)
    }
}

// MARK: HTTP by hand

/// Sends `bytes` and returns everything up to the end of the connection.
func exchange(_ endpoint: SocketEndpoint, _ bytes: [UInt8]) throws -> String {
    let fd = try Socket.connect(to: endpoint)
    defer { Socket.close(fd) }
    var sent = 0
    var answer: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65536)
    while true {
        var waiting = pollfd(fd: fd, events: Int16(POLLIN) | (sent < bytes.count ? Int16(POLLOUT) : 0), revents: 0)
        guard unsafe poll(&waiting, 1, 20_000) > 0 else { return String(decoding: answer, as: UTF8.self) + "<no end>" }
        if waiting.revents & Int16(POLLOUT) != 0, sent < bytes.count {
            let result = unsafe bytes.withUnsafeBytes { unsafe Socket.write(fd, UnsafeRawBufferPointer(rebasing: $0[sent...])) }
            if case .bytes(let count) = result { sent += count }
        }
        guard waiting.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 else { continue }
        switch unsafe piece.withUnsafeMutableBytes({ unsafe Socket.read(fd, into: $0) }) {
        case .bytes(let count): answer += piece[..<count]
        case .wouldBlock: continue
        case .endOfStream, .failed: return String(decoding: answer, as: UTF8.self)
        }
    }
}

func httpRequest(
    _ method: String, _ path: String, type: String? = nil, headers: [String] = [], body: [UInt8] = []
) -> [UInt8] {
    var head = "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: \(body.count)\r\n"
    if let type { head += "Content-Type: \(type)\r\n" }
    for header in headers { head += header + "\r\n" }
    return Array((head + "\r\n").utf8) + body
}

/// Stored blocks in a gzip member: enough of a compressor for tests.
func gzip(_ bytes: [UInt8]) -> [UInt8] {
    var out: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255]
    var at = 0
    repeat {
        let count = min(65535, bytes.count - at)
        let isLast = at + count == bytes.count
        out += [isLast ? 1 : 0, UInt8(count & 255), UInt8(count >> 8), UInt8(~count & 255), UInt8((~count >> 8) & 255)]
        out += bytes[at..<at + count]
        at += count
    } while at < bytes.count
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    crc = ~crc
    for value in [crc, UInt32(truncatingIfNeeded: bytes.count)] {
        for shift in [0, 8, 16, 24] as [UInt32] { out.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }
    return out
}

/// A batch of `count` spans named after `name`.
func exampleBatch(_ count: Int, name: String = "get") -> SpanBatch {
    var batch = SpanBatch()
    let text = batch.append(text: name)
    for index in 0..<count {
        var span = SpanRow(traceID: TraceID(high: 0, low: 7), id: SpanID(UInt64(index + 1)))
        span.name = text
        span.timestamp = 1_460_751_420_310_000
        batch.spans.append(span)
    }
    return batch
}

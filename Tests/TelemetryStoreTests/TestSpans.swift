import Glibc
import TelemetryModel
@testable import TelemetryStore

/// A span in plain Swift values: what tests write and compare.
struct PlainTestSpan: Hashable {
    var traceHigh: UInt64 = 0
    var traceLow: UInt64
    var id: UInt64
    var parent: UInt64 = 0
    var timestamp: UInt64 = 0
    var duration: UInt64 = 0
    var kind: SpanKind = .unspecified
    var isShared = false
    var name = ""
    var service = ""
    var remoteService = ""
    var ipv4: UInt32?
    var port: UInt16 = 0
    var tags: [String: String] = [:]
    var annotations: [String] = []

    var traceID: TraceID { TraceID(high: traceHigh, low: traceLow) }
}

func makeBatch(_ spans: [PlainTestSpan]) -> SpanBatch {
    var batch = SpanBatch()
    for span in spans {
        var row = SpanRow(traceID: span.traceID, id: SpanID(span.id))
        row.parentID = SpanID(span.parent)
        row.timestamp = span.timestamp
        row.duration = span.duration
        row.kind = span.kind
        row.flags = span.isShared ? .shared : []
        row.name = batch.append(text: span.name)
        if !span.service.isEmpty || span.ipv4 != nil || span.port != 0 {
            var endpoint = EndpointRow(serviceName: batch.append(text: span.service))
            endpoint.ipv4 = span.ipv4 ?? 0
            endpoint.hasIPv4 = span.ipv4 != nil
            endpoint.port = span.port
            row.localEndpoint = UInt32(batch.endpoints.count)
            batch.endpoints.append(endpoint)
        }
        if !span.remoteService.isEmpty {
            row.remoteEndpoint = UInt32(batch.endpoints.count)
            batch.endpoints.append(EndpointRow(serviceName: batch.append(text: span.remoteService)))
        }
        row.tagStart = UInt32(batch.tags.count)
        row.tagCount = UInt32(span.tags.count)
        for (key, value) in span.tags.sorted(by: { $0.key < $1.key }) {
            let key = batch.append(text: key)
            batch.tags.append(TagRow(key: key, value: batch.append(text: value)))
        }
        row.annotationStart = UInt32(batch.annotations.count)
        row.annotationCount = UInt32(span.annotations.count)
        for (index, value) in span.annotations.enumerated() {
            batch.annotations.append(AnnotationRow(timestamp: span.timestamp &+ UInt64(index), value: batch.append(text: value)))
        }
        batch.spans.append(row)
    }
    return batch
}

func plain(_ batch: SpanBatch) -> [PlainTestSpan] {
    batch.spans.map { row in
        var span = PlainTestSpan(traceHigh: row.traceID.high, traceLow: row.traceID.low, id: row.id.rawValue)
        span.parent = row.parentID.rawValue
        span.timestamp = row.timestamp
        span.duration = row.duration
        span.kind = row.kind
        span.isShared = row.flags.contains(.shared)
        span.name = batch.string(row.name)
        if row.localEndpoint != EndpointRow.absent {
            let endpoint = batch.endpoints[Int(row.localEndpoint)]
            span.service = batch.string(endpoint.serviceName)
            span.ipv4 = endpoint.hasIPv4 ? endpoint.ipv4 : nil
            span.port = endpoint.port
        }
        if row.remoteEndpoint != EndpointRow.absent {
            span.remoteService = batch.string(batch.endpoints[Int(row.remoteEndpoint)].serviceName)
        }
        for index in 0..<Int(row.tagCount) {
            let tag = batch.tags[Int(row.tagStart) + index]
            span.tags[batch.string(tag.key)] = batch.string(tag.value)
        }
        for index in 0..<Int(row.annotationCount) {
            span.annotations.append(batch.string(batch.annotations[Int(row.annotationStart) + index].value))
        }
        return span
    }
}

/// A directory that goes away with the test.
final class TemporaryDirectory {
    let path: String

    init() {
        var template = Array("/tmp/skein-store-XXXXXX".utf8CString)
        path = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, let made = unsafe mkdtemp(base) else { return "/tmp/skein-store" }
            return unsafe String(cString: made)
        }
    }

    deinit { remove() }

    var files: [String] {
        guard let directory = unsafe opendir(path) else { return [] }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    private func remove() {
        for name in files { _ = unsafe unlink(path + "/" + name) }
        _ = unsafe rmdir(path)
    }
}

struct SeededRandom: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Mixing.fold(state)
    }
}

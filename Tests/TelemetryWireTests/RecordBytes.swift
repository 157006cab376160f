import TelemetryWire
internal import Primitives
import TelemetryModel

/// A ring entry as a worker writes it: the record, the lengths, the texts.
func recordBytes(_ record: RequestRecord, _ texts: [String?]) -> [UInt8] {
    recordBytes(record, texts.map { $0.map { Array($0.utf8) } })
}

func recordBytes(_ record: RequestRecord, _ texts: [[UInt8]?]) -> [UInt8] {
    var record = record
    record.textCount = UInt8(texts.count)
    var bytes = unsafe withUnsafeBytes(of: record) { unsafe Array($0) }
    bytes += [UInt8](repeating: 0, count: RequestRecordView.lengthsOffset - bytes.count)
    for text in texts {
        let length = text.map { UInt16($0.count) } ?? RequestRecordView.absentLength
        bytes += [UInt8(truncatingIfNeeded: length), UInt8(truncatingIfNeeded: length >> 8)]
    }
    for text in texts { bytes += text ?? [] }
    return bytes
}

func exampleRecord() -> RequestRecord {
    var record = RequestRecord()
    record.startUnixNanoseconds = 1_460_751_420_310_000_000
    record.times.downstreamReceiveEnd = 1_000_000
    record.times.upstreamSendBegin = 2_000_000
    record.times.upstreamSendEnd = 2_500_000
    record.times.upstreamReceiveBegin = 11_900_000
    record.times.upstreamReceiveEnd = 12_000_000
    record.times.downstreamSendBegin = 12_500_000
    record.times.downstreamSendEnd = 13_700_000
    record.requestBodyBytes = 5
    record.responseBodyBytes = 295
    record.traceID = TraceID(high: 0, low: 0xabc)
    record.spanID = SpanID(0xdef)
    record.downstreamRemote = SocketEndpoint(ipv4: 0x0A00_0001, port: 41234)
    record.downstreamLocal = SocketEndpoint(ipv4: 0x0A00_0002, port: 9080)
    record.upstreamRemote = SocketEndpoint(ipv4: 0x0A00_0003, port: 9080)
    record.upstreamLocal = SocketEndpoint(ipv6High: 0x2001_0db8_0000_0000, ipv6Low: 1, port: 55000)
    record.cluster = NameID(1)
    record.route = NameID(2)
    record.responseCode = 200
    record.attemptCount = 1
    record.details = .viaUpstream
    return record
}

let exampleTexts: [String?] = ["GET", "/reviews/1?x=1", "/reviews/1?x=1", "reviews:9080", "curl/8", "id-1", nil, "http"]
let exampleNames = NameTable(["outbound|9080||reviews.default.svc.cluster.local", "default"])

internal import Primitives
internal import TelemetryModel

/// OTLP's status of a span, as it is known from a span in Zipkin's terms. Raw values are OTLP's.
enum SpanStatus: UInt8, CaseIterable {
    case unset = 0
    case ok = 1
    case error = 2
}

/// What the tags of one span say that its row does not.
struct SpanTraits {
    /// `error` where there is a tag of that name, whatever its value (semantics 2.11), or `otel.status_code` is ERROR.
    private(set) var status = SpanStatus.unset
    /// A sidecar or gateway reported it: `component` is `proxy`, as Envoy and this proxy write (semantics 2.10).
    private(set) var isProxy = false
    /// The database that was called, by what names it first: `db.namespace`, `db.name`, `db.system.name` or `db.system` (semantics 3.2).
    private(set) var database = TextRef.empty
    /// The sender's trace state: decoders keep it as the tag `w3c.tracestate`.
    private(set) var traceState = TextRef.empty

    /// The rank of what names the database; the lowest counts.
    private var databaseRank = UInt8.max

    private enum Key {
        case error, component, status, traceState
        case database(rank: UInt8)
    }

    /// Lengths of the keys below, a bit each: what tells nearly every tag from them.
    private static let lengths: UInt64 = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 12 | 1 << 14 | 1 << 16

    /// Looks at each tag of the span once. `text` is the batch's arena.
    @inline(__always)
    init(_ span: SpanRow, in batch: borrowing SpanBatch, _ text: LentBytes) {
        let start = Int(span.tagStart)
        for index in start..<start + Int(span.tagCount) {
            let tag = batch.tags[index]
            guard tag.key.count < 64, Self.lengths >> UInt64(tag.key.count) & 1 == 1 else { continue }
            let key = text[tag.key]
            // The commonest tags that are as long begin with `h`.
            guard key[0] != UInt8(ascii: "h"), let key = Self.key(key) else { continue }
            note(key, tag.value, text)
        }
    }

    private mutating func note(_ key: Key, _ value: TextRef, _ text: LentBytes) {
        switch key {
        case .error: status = .error
        case .component: isProxy = text[value] == "proxy"
        case .status:
            if status != .unset { return }
            if text[value] == "OK" { status = .ok } else if text[value] == "ERROR" { status = .error }
        case .traceState: traceState = value
        case .database(let rank):
            if value.isEmpty || rank >= databaseRank { return }
            database = value
            databaseRank = rank
        }
    }

    @inline(__always)
    private static func key(_ key: LentBytes) -> Key? {
        switch key.count {
        case 5: key == "error" ? .error : nil
        case 7: key == "db.name" ? .database(rank: 1) : nil
        case 9: key == "component" ? .component : key == "db.system" ? .database(rank: 3) : nil
        case 12: key == "db.namespace" ? .database(rank: 0) : nil
        case 14: key == "w3c.tracestate" ? .traceState : key == "db.system.name" ? .database(rank: 2) : nil
        case 16: key == "otel.status_code" ? .status : nil
        default: nil
        }
    }
}

extension LentBytes {
    /// A text of a batch, where these bytes are its arena.
    @inline(__always)
    subscript(text: TextRef) -> LentBytes { self[Int(text.offset)..<Int(text.offset) + Int(text.count)] }
}

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

    /// Looks at each tag of the span once.
    @inline(__always)
    init(_ span: SpanRow, in batch: borrowing SpanBatch) {
        let start = Int(span.tagStart)
        for index in start..<start + Int(span.tagCount) {
            let tag = batch.tags[index]
            guard tag.key.count < 64, Self.lengths >> UInt64(tag.key.count) & 1 == 1 else { continue }
            if let key = Self.key(tag.key, batch.text) { note(key, tag.value, batch.text) }
        }
    }

    private mutating func note(_ key: Key, _ value: TextRef, _ text: [UInt8]) {
        switch key {
        case .error: status = .error
        case .component: isProxy = Self.isEqual(value, "proxy", text)
        case .status:
            if status != .unset { return }
            if Self.isEqual(value, "OK", text) { status = .ok } else if Self.isEqual(value, "ERROR", text) { status = .error }
        case .traceState: traceState = value
        case .database(let rank):
            if value.isEmpty || rank >= databaseRank { return }
            database = value
            databaseRank = rank
        }
    }

    private static func key(_ key: TextRef, _ text: [UInt8]) -> Key? {
        switch key.count {
        case 5: isEqual(key, "error", text) ? .error : nil
        case 7: isEqual(key, "db.name", text) ? .database(rank: 1) : nil
        case 9: isEqual(key, "component", text) ? .component : isEqual(key, "db.system", text) ? .database(rank: 3) : nil
        case 12: isEqual(key, "db.namespace", text) ? .database(rank: 0) : nil
        case 14: isEqual(key, "w3c.tracestate", text) ? .traceState : isEqual(key, "db.system.name", text) ? .database(rank: 2) : nil
        case 16: isEqual(key, "otel.status_code", text) ? .status : nil
        default: nil
        }
    }

    private static func isEqual(_ reference: TextRef, _ literal: StaticString, _ text: [UInt8]) -> Bool {
        let count = literal.utf8CodeUnitCount
        guard Int(reference.count) == count else { return false }
        let start = Int(reference.offset)
        return literal.withUTF8Buffer { literal in
            for index in 0..<count where unsafe text[start + index] != literal[index] { return false }
            return true
        }
    }
}

internal import Primitives
internal import TelemetryModel

/// What counts of one span: everything that its texts and tags say, as numbers.
struct SpanFact {
    /// Of service, operation, kind and status.
    var operation: UInt64 = 0
    var traceLow: UInt64 = 0
    /// For exemplars alone.
    var traceHigh: UInt64 = 0
    var id: UInt64 = 0
    /// 0 = none.
    var parentID: UInt64 = 0
    /// Microseconds, 0 = unknown.
    var duration: UInt64 = 0
    var weight = 1.0
    /// Hashes of texts, see `TextHashing`; 0 = none.
    var peer: UInt64 = 0
    var database: UInt64 = 0
    /// Where the batch has the database's name.
    var databaseName = TextRef.empty
    var kind = SpanKind.unspecified
    var status = SpanStatus.unset
    var isProxy = false
    var isShared = false
    var isWeightRefused = false
}

/// Looks at the spans of a batch while a decoder has just written it: later, when the store has it, each tag would have to come from memory
/// once more, which takes longer than all the rest. Pure; any thread.
struct SpanFactReader: Sendable {
    let hashing: TextHashing
    let weightMax: Double

    init(_ limits: SpanMetricsLimits) {
        hashing = TextHashing(bytesMax: limits.textBytesMax)
        weightMax = limits.weightMax
    }

    /// A fact for each span, in their order.
    func facts(of batch: borrowing SpanBatch) -> [SpanFact] {
        unsafe batch.text.withUnsafeBytes { text in unsafe facts(of: batch, LentBytes(text)) }
    }

    private func facts(of batch: borrowing SpanBatch, _ text: LentBytes) -> [SpanFact] {
        var facts: [SpanFact] = []
        facts.reserveCapacity(batch.spans.count)
        // Neighbours are of the same service more often than not.
        var endpoint = EndpointRow.absent
        var service: UInt64 = 0
        for index in batch.spans.indices {
            let span = batch.spans[index]
            if span.localEndpoint != endpoint {
                endpoint = span.localEndpoint
                service = nameHash(of: endpoint, batch, text)
            }
            facts.append(fact(of: span, service, batch, text))
        }
        return facts
    }

    @inline(__always)
    private func fact(of span: SpanRow, _ service: UInt64, _ batch: borrowing SpanBatch, _ text: LentBytes) -> SpanFact {
        let traits = SpanTraits(span, in: batch, text)
        var fact = SpanFact()
        fact.traceLow = span.traceID.low
        fact.traceHigh = span.traceID.high
        fact.id = span.id.rawValue
        fact.parentID = span.parentID.rawValue
        fact.duration = span.duration
        fact.kind = span.kind
        fact.status = traits.status
        fact.isProxy = traits.isProxy
        // A server that shares its client's id has its client's parent as well; one at the root may have forgotten to say so.
        fact.isShared = span.flags.contains(.shared) || span.parentID.isNone
        fact.operation = ByteHash.mix(
            service ^ OperationKey.aboveBound(span.kind, traits.status).packed, hashing.textHash(text[span.name]) ^ OperationKey.nameSalt)
        if !traits.traceState.isEmpty {
            switch SamplingWeight(text[traits.traceState], weightMax: weightMax) {
            case .unknown: break
            case .weight(let weight): fact.weight = weight
            case .refused: fact.isWeightRefused = true
            }
        }
        if span.kind == .unspecified { return fact }
        fact.peer = nameHash(of: span.remoteEndpoint, batch, text)
        if span.kind == .client, !traits.database.isEmpty {
            fact.database = hashing.textHash(text[traits.database])
            fact.databaseName = traits.database
        }
        return fact
    }

    @inline(__always)
    private func nameHash(of endpoint: UInt32, _ batch: borrowing SpanBatch, _ text: LentBytes) -> UInt64 {
        endpoint == EndpointRow.absent ? 0 : hashing.textHash(text[batch.endpoints[Int(endpoint)].serviceName])
    }
}

/// How names are told apart: by a hash of as many bytes as are kept of them.
///
/// Two names whose hashes are equal are taken for one: 64 bits under this process's seed, so that not even full tables have them by chance,
/// and nobody can look for them.
struct TextHashing: Sendable {
    let bytesMax: Int
    let seed = ByteHash.seed

    /// 0 = the empty text.
    @inline(__always)
    func textHash(_ text: LentBytes) -> UInt64 {
        if text.isEmpty { return 0 }
        return (text.count <= bytesMax ? text : cut(text)).hash(seed: seed) | 1
    }

    /// The same for a text of our own.
    func textHash(_ text: String) -> UInt64 {
        let bytes = Array(text.utf8)
        if bytes.isEmpty { return 0 }
        var count = min(bytes.count, bytesMax)
        while count > 0, count < bytes.count, bytes[count] & 0xC0 == 0x80 { count -= 1 }
        return ByteHash.hash(bytes, 0..<count) | 1
    }

    /// No character is cut in two.
    private func cut(_ text: LentBytes) -> LentBytes {
        var count = bytesMax
        while count > 0, text[count] & 0xC0 == 0x80 { count -= 1 }
        return text.prefix(count)
    }
}

import TelemetryModel

/// Says which criteria of a search surely no span of a segment meets, by its filter and its header, without a block being read. A search
/// for what is nowhere ends here.
///
/// Of one search, on its thread; remembers what it found of each segment.
struct SegmentScreen {
    private let view: TraceView
    private let compiled: CompiledQuery
    /// Bits of `CompiledQuery` that are absent, by segment number.
    private var known: [Int64: UInt32] = [:]

    init(_ view: TraceView, _ compiled: CompiledQuery) {
        self.view = view
        self.compiled = compiled
    }

    /// The criteria that nothing in the segment meets; none for one that is damaged or gone.
    mutating func absentCriteria(_ segment: Segment) throws(StoreError) -> UInt32 {
        if let bits = known[segment.number] { return bits }
        // First what is cheapest: the digest is in memory. Most segments lack any given id, and say so in one small row.
        var bits = segment.digest.map { absentCriteria($0) } ?? 0
        if bits == 0 { bits = try filterMisses(segment) }
        if bits == 0, case .found(let header) = try view.header(segment) { bits = absentCriteria(header) }
        known[segment.number] = bits
        return bits
    }

    /// Whether a trace with parts in this segment cannot match: what is absent here is absent as well in the segments before it that may
    /// have other parts (`Segment.splitDistance`). Those after it ask for themselves, and so does the head.
    mutating func isHopeless(_ segment: Segment, absent: UInt32) throws(StoreError) -> Bool {
        guard let place = view.snapshot.segments.firstIndex(where: { $0 === segment }) else { return false }
        var everywhere = absent
        for earlier in view.snapshot.segments[..<place].suffix(Segment.splitDistance) where everywhere != 0 {
            everywhere &= try absentCriteria(earlier)
        }
        return everywhere != 0
    }

    /// Under a service only its own spans count, so what none of them has is absent.
    private func absentCriteria(_ digest: SegmentDigest) -> UInt32 {
        let query = compiled.query
        let scope = query.serviceName.isEmpty ? SegmentFact.Scope.all : SegmentFact.Scope(service: Mixing.hash(text: query.serviceName))
        var bits: UInt32 = 0
        if !query.serviceName.isEmpty {
            if !digest.holds(.forService(scope)) { bits |= CompiledQuery.serviceBit }
            if let least = query.durationMin, !digest.mayLast(.forService(scope), atLeast: least) { bits |= CompiledQuery.durationBit }
        }
        if !query.remoteServiceName.isEmpty, !digest.holds(.forRemote(Mixing.hash(text: query.remoteServiceName), scope)) {
            bits |= CompiledQuery.remoteBit
        }
        if !query.spanName.isEmpty, !digest.holds(.forName(Mixing.hash(text: query.spanName), scope)) { bits |= CompiledQuery.nameBit }
        for (index, term) in compiled.terms.enumerated() where !digest.mayHold(term, scope) {
            bits |= CompiledQuery.firstTermBit << UInt32(index)
        }
        for (index, trait) in compiled.traits.enumerated() where !trait.mayBeMet(by: digest) {
            bits |= CompiledQuery.firstTraitBit << UInt32(index)
        }
        return bits
    }

    private func absentCriteria(_ header: SegmentHeader) -> UInt32 {
        // Spans that are kept whole are in no table.
        guard header.plainNames.isEmpty else { return 0 }
        let numbers = compiled.numbers(header.strings)
        var bits: UInt32 = 0
        if !compiled.query.serviceName.isEmpty, numbers.service == 0 { bits |= CompiledQuery.serviceBit }
        if !compiled.query.remoteServiceName.isEmpty, numbers.remote == 0 { bits |= CompiledQuery.remoteBit }
        if !compiled.query.spanName.isEmpty, numbers.name == 0 { bits |= CompiledQuery.nameBit }
        if let least = compiled.query.durationMin, header.blocks.allSatisfy({ $0.durationMax < least }) {
            bits |= CompiledQuery.durationBit
        }
        for (index, term) in compiled.terms.enumerated() {
            // A bare word is a key or an annotation, and either is in the dictionary where it has room.
            let mayHold = term.value.isEmpty
                ? numbers.words[index] : mayHold(header, term, numbers.keys[index], numbers.values[index])
            if !mayHold { bits |= CompiledQuery.firstTermBit << UInt32(index) }
        }
        return bits
    }

    /// Whether a column of the term's key and kind may have its value.
    private func mayHold(_ header: SegmentHeader, _ term: CompiledQuery.Term, _ key: Int, _ number: Int) -> Bool {
        guard key >= 0 else { return false }
        let code = (UInt32(key) + PayloadKey.firstString) << 4 | UInt32(term.classified.kind.rawValue)
        guard let column = header.columnCodes.firstIndex(of: code) else { return false }
        return header.values(ofColumn: column).mayHold(term.classified, number: number)
    }

    /// The terms whose ids the segment's filter does not know.
    private func filterMisses(_ segment: Segment) throws(StoreError) -> UInt32 {
        var bits: UInt32 = 0
        for (index, term) in compiled.terms.enumerated()
        where !term.value.isEmpty && BloomFilter.covers(term.classified.kind, term.classified.a) {
            var holds = try filterHolds(term.filterHash, parts: TraceSchema.filterParts, whole: TraceSchema.filterBlock, segment)
            if holds == nil {
                holds = try filterHolds(
                    term.olderFilterHash, parts: TraceSchema.olderFilterParts, whole: TraceSchema.olderFilterBlock, segment)
            }
            if holds == false { bits |= CompiledQuery.firstTermBit << UInt32(index) }
        }
        return bits
    }

    /// Nil when there is no filter at these places.
    private func filterHolds(_ hash: UInt64, parts: Int64, whole: Int64, _ segment: Segment) throws(StoreError) -> Bool? {
        let part: Bool? = try unsafe view.connection.withRow(segment.number, parts + Int64(BloomFilter.partNumber(hash))) { filter, _ in
            unsafe BloomFilter.mayContain(filter, BloomFilter.withinPart(hash))
        }
        if let part { return part }
        return try unsafe view.connection.withRow(segment.number, whole) { filter, _ in unsafe BloomFilter.mayContain(filter, hash) }
    }
}

extension SegmentDigest {
    /// Whether a span of the scope may meet a term.
    fileprivate func mayHold(_ term: CompiledQuery.Term, _ scope: SegmentFact.Scope) -> Bool {
        if term.value.isEmpty { return holds(.forKey(term.keyHash, scope)) || holds(.forAnnotations(scope)) }
        let kind = term.classified.kind
        if holds(.forAnyValue(kind, ofKey: term.keyHash, scope)) { return true }
        switch kind {
        case .text: return holds(.forValue(Mixing.hash(term.value), kind, ofKey: term.keyHash, scope))
        case .number: return holds(.forValue(term.classified.a, kind, ofKey: term.keyHash, scope))
        case .template:
            let value = SegmentFact.templateValue(Mixing.hash(term.template), term.classified.a)
            return holds(.forValue(value, kind, ofKey: term.keyHash, scope))
        default: return false
        }
    }
}

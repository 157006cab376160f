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
        // First what is cheapest: most segments lack any given id, and say so in one small row.
        var bits = try filterMisses(segment)
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
        for (index, term) in compiled.terms.enumerated() where !term.value.isEmpty {
            if !mayHold(header, term, numbers.keys[index], numbers.values[index]) { bits |= CompiledQuery.firstTermBit << UInt32(index) }
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

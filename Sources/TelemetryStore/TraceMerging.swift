import TelemetryModel

/// One span per (id, shared, local endpoint) out of everything that was received for a trace: a batch sent twice after a lost answer, or a
/// span reported in two parts, appears once (semantics 2.11, "merge duplicate spans"). The rules are in docs/formats/segment.md.
///
/// A trace comes here in the order in which its spans were acknowledged, which journal, segments and merges of segments all keep: so the
/// same value wins before and after compaction and in a reopened file.
enum TraceMerging {
    private struct Key: Hashable {
        var id: UInt64
        var isShared: Bool

        init(_ span: SpanRow) {
            id = span.id.rawValue
            isShared = span.flags.contains(.shared)
        }
    }

    static func merged(_ trace: SpanBatch) -> SpanBatch {
        var seen: Set<Key> = []
        seen.reserveCapacity(trace.spans.count)
        guard !trace.spans.allSatisfy({ seen.insert(Key($0)).inserted }) else { return trace }
        var result = trace
        result.spans.removeAll()
        /// Places in `result.spans`, one per endpoint, so that a thousand copies are compared with one span each.
        var places: [Key: [Int]] = [:]
        for span in trace.spans {
            let same = places[Key(span), default: []].first { isSame(result.spans[$0].localEndpoint, span.localEndpoint, result) }
            if let same {
                merge(span, into: same, &result)
            } else {
                places[Key(span), default: []].append(result.spans.count)
                result.spans.append(span)
            }
        }
        return result
    }

    /// Whether nothing that both endpoints say is different, as Zipkin has it: endpoints, too, are sent in pieces.
    private static func isSame(_ one: UInt32, _ other: UInt32, _ trace: SpanBatch) -> Bool {
        if one == EndpointRow.absent || other == EndpointRow.absent || one == other { return true }
        let a = trace.endpoints[Int(one)]
        let b = trace.endpoints[Int(other)]
        if a.hasIPv4, b.hasIPv4, a.ipv4 != b.ipv4 { return false }
        if a.hasIPv6, b.hasIPv6, a.ipv6High != b.ipv6High || a.ipv6Low != b.ipv6Low { return false }
        if a.port != 0, b.port != 0, a.port != b.port { return false }
        return a.serviceName.isEmpty || b.serviceName.isEmpty || equal(a.serviceName, b.serviceName, trace)
    }

    /// `one` with what only `other` says. Spans may share a row, so a new one is made.
    private static func union(_ one: UInt32, _ other: UInt32, _ batch: inout SpanBatch) -> UInt32 {
        if one == EndpointRow.absent { return other }
        if other == EndpointRow.absent || one == other { return one }
        var row = batch.endpoints[Int(one)]
        let more = batch.endpoints[Int(other)]
        if row.serviceName.isEmpty { row.serviceName = more.serviceName }
        if !row.hasIPv4, more.hasIPv4 { (row.hasIPv4, row.ipv4) = (true, more.ipv4) }
        if !row.hasIPv6, more.hasIPv6 { (row.hasIPv6, row.ipv6High, row.ipv6Low) = (true, more.ipv6High, more.ipv6Low) }
        if row.port == 0 { row.port = more.port }
        guard row != batch.endpoints[Int(one)] else { return one }
        batch.endpoints.append(row)
        return UInt32(clamping: batch.endpoints.count - 1)
    }

    private static func equal(_ left: TextRef, _ right: TextRef, _ trace: SpanBatch) -> Bool {
        left.count == right.count
            && trace.text[Int(left.offset)..<Int(left.offset) + Int(left.count)]
                .elementsEqual(trace.text[Int(right.offset)..<Int(right.offset) + Int(right.count)])
    }

    /// What was there first stays and what is absent is filled in, but for times: the earliest timestamp and the longest duration win. Tags and
    /// annotations are united; a key that has a value keeps it.
    private static func merge(_ span: SpanRow, into place: Int, _ batch: inout SpanBatch) {
        var kept = batch.spans[place]
        if kept.parentID.isNone { kept.parentID = span.parentID }
        if kept.name.isEmpty { kept.name = span.name }
        if kept.kind == .unspecified { kept.kind = span.kind }
        kept.localEndpoint = union(kept.localEndpoint, span.localEndpoint, &batch)
        if kept.remoteEndpoint == EndpointRow.absent { kept.remoteEndpoint = span.remoteEndpoint }
        if kept.timestamp == 0 || (span.timestamp != 0 && span.timestamp < kept.timestamp) { kept.timestamp = span.timestamp }
        kept.duration = max(kept.duration, span.duration)
        kept.flags.formUnion(span.flags)
        let newTags = (0..<Int(span.tagCount)).map { batch.tags[Int(span.tagStart) + $0] }.filter { tag in
            !(0..<Int(kept.tagCount)).contains { equal(batch.tags[Int(kept.tagStart) + $0].key, tag.key, batch) }
        }
        if !newTags.isEmpty {
            let start = batch.tags.count
            for index in 0..<Int(kept.tagCount) { batch.tags.append(batch.tags[Int(kept.tagStart) + index]) }
            batch.tags.append(contentsOf: newTags)
            kept.tagStart = UInt32(clamping: start)
            kept.tagCount += UInt32(newTags.count)
        }
        let newAnnotations = (0..<Int(span.annotationCount)).map { batch.annotations[Int(span.annotationStart) + $0] }.filter { annotation in
            !(0..<Int(kept.annotationCount)).contains {
                let known = batch.annotations[Int(kept.annotationStart) + $0]
                return known.timestamp == annotation.timestamp && equal(known.value, annotation.value, batch)
            }
        }
        if !newAnnotations.isEmpty {
            let start = batch.annotations.count
            for index in 0..<Int(kept.annotationCount) { batch.annotations.append(batch.annotations[Int(kept.annotationStart) + index]) }
            batch.annotations.append(contentsOf: newAnnotations)
            kept.annotationStart = UInt32(clamping: start)
            kept.annotationCount += UInt32(newAnnotations.count)
        }
        batch.spans[place] = kept
    }
}

import TelemetryModel

/// One span per (id, shared, local endpoint) out of everything that was received for a trace: a batch sent twice after a lost answer, or a
/// span reported in two parts, appears once (semantics 2.11, "merge duplicate spans").
enum TraceMerging {
    private struct Key: Hashable {
        var id: UInt64
        var isShared: Bool
    }

    static func merged(_ trace: SpanBatch) -> SpanBatch {
        var groups: [Key: [Int]] = [:]
        groups.reserveCapacity(trace.spans.count)
        var hasDuplicates = false
        for (index, span) in trace.spans.enumerated() {
            let key = Key(id: span.id.rawValue, isShared: span.flags.contains(.shared))
            if groups[key, default: []].contains(where: { sameEndpoint($0, index, trace) }) { hasDuplicates = true }
            // Only one member per endpoint is compared with, so a thousand copies stay cheap.
            if !groups[key, default: []].contains(where: { sameEndpoint($0, index, trace) }) { groups[key, default: []].append(index) }
        }
        guard hasDuplicates else { return trace }
        var result = trace
        result.spans.removeAll()
        var placeOf: [Int: Int] = [:]
        for (index, span) in trace.spans.enumerated() {
            let key = Key(id: span.id.rawValue, isShared: span.flags.contains(.shared))
            guard let first = groups[key, default: []].first(where: { sameEndpoint($0, index, trace) }) else { continue }
            if let place = placeOf[first] {
                merge(span, into: place, &result)
            } else {
                placeOf[first] = result.spans.count
                result.spans.append(span)
            }
        }
        return result
    }

    private static func sameEndpoint(_ left: Int, _ right: Int, _ trace: SpanBatch) -> Bool {
        let one = trace.spans[left].localEndpoint
        let other = trace.spans[right].localEndpoint
        if one == EndpointRow.absent || other == EndpointRow.absent || one == other { return true }
        let a = trace.endpoints[Int(one)]
        let b = trace.endpoints[Int(other)]
        return a.hasIPv4 == b.hasIPv4 && a.ipv4 == b.ipv4 && a.hasIPv6 == b.hasIPv6 && a.ipv6High == b.ipv6High && a.ipv6Low == b.ipv6Low
            && a.port == b.port && equal(a.serviceName, b.serviceName, trace)
    }

    private static func equal(_ left: TextRef, _ right: TextRef, _ trace: SpanBatch) -> Bool {
        left.count == right.count
            && trace.text[Int(left.offset)..<Int(left.offset) + Int(left.count)]
                .elementsEqual(trace.text[Int(right.offset)..<Int(right.offset) + Int(right.count)])
    }

    /// Absent fields are filled, tags and annotations united (the first value of a key stays), the longer duration wins.
    private static func merge(_ span: SpanRow, into place: Int, _ batch: inout SpanBatch) {
        var kept = batch.spans[place]
        if kept.parentID.isNone { kept.parentID = span.parentID }
        if kept.name.isEmpty { kept.name = span.name }
        if kept.kind == .unspecified { kept.kind = span.kind }
        if kept.localEndpoint == EndpointRow.absent { kept.localEndpoint = span.localEndpoint }
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

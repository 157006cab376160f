import TelemetryModel

/// Takes out the copies that a reporter's retry leaves: spans that are equal in everything. What differs in anything is shown as it came,
/// each part by itself, as Zipkin's API does: readers merge as they like, and nothing that was acknowledged is hidden.
///
/// A trace comes here in the order in which its spans were acknowledged, which journal, segments and merges of segments all keep.
enum DuplicateSpans {
    /// Everything but the texts behind it; tags and annotations by sums that do not depend on their order.
    private struct Print: Hashable {
        var traceHigh: UInt64
        var id: UInt64
        var parent: UInt64
        var timestamp: UInt64
        var duration: UInt64
        var kind: UInt8
        var flags: UInt8
        var tagCount: UInt32
        var annotationCount: UInt32
        var name: UInt64
        var tags: UInt64 = 0
        var annotations: UInt64 = 0
    }

    static func removed(from trace: SpanBatch) -> SpanBatch {
        var seen: Set<SpanID> = []
        seen.reserveCapacity(trace.spans.count)
        guard !trace.spans.allSatisfy({ seen.insert($0.id).inserted }) else { return trace }
        var result = trace
        result.spans.removeAll()
        /// Places in `result.spans`.
        var places: [Print: [Int]] = [:]
        for span in trace.spans {
            let print = print(span, trace)
            if places[print, default: []].contains(where: { isEqual(result.spans[$0], span, trace) }) { continue }
            places[print, default: []].append(result.spans.count)
            result.spans.append(span)
        }
        return result
    }

    private static func print(_ span: SpanRow, _ trace: SpanBatch) -> Print {
        var print = Print(
            traceHigh: span.traceID.high, id: span.id.rawValue, parent: span.parentID.rawValue, timestamp: span.timestamp,
            duration: span.duration,
            kind: span.kind.rawValue, flags: span.flags.rawValue, tagCount: span.tagCount, annotationCount: span.annotationCount,
            name: hash(span.name, trace))
        for tag in tagsOf(span, trace) { print.tags &+= Mixing.fold(hash(tag.key, trace) &* Mixing.odd ^ hash(tag.value, trace)) }
        for annotation in annotationsOf(span, trace) {
            print.annotations &+= Mixing.fold(annotation.timestamp &* Mixing.odd ^ hash(annotation.value, trace))
        }
        return print
    }

    private static func isEqual(_ left: SpanRow, _ right: SpanRow, _ trace: SpanBatch) -> Bool {
        guard equal(left.name, right.name, trace), isEqual(left.localEndpoint, right.localEndpoint, trace),
            isEqual(left.remoteEndpoint, right.remoteEndpoint, trace)
        else { return false }
        let sameTags = zip(tagsOf(left, trace), tagsOf(right, trace))
            .allSatisfy { equal($0.key, $1.key, trace) && equal($0.value, $1.value, trace) }
        let sameAnnotations = zip(annotationsOf(left, trace), annotationsOf(right, trace)).allSatisfy {
            $0.timestamp == $1.timestamp && equal($0.value, $1.value, trace)
        }
        // The counts are equal already.
        if sameTags, sameAnnotations { return true }
        func tagTexts(_ span: SpanRow) -> [[String]] {
            tagsOf(span, trace).map { [trace.string($0.key), trace.string($0.value)] }.sorted { $0.lexicographicallyPrecedes($1) }
        }
        func annotationTexts(_ span: SpanRow) -> [[String]] {
            annotationsOf(span, trace).map { ["\($0.timestamp)", trace.string($0.value)] }.sorted { $0.lexicographicallyPrecedes($1) }
        }
        return tagTexts(left) == tagTexts(right) && annotationTexts(left) == annotationTexts(right)
    }

    private static func isEqual(_ left: UInt32, _ right: UInt32, _ trace: SpanBatch) -> Bool {
        if left == right { return true }
        guard left != EndpointRow.absent, right != EndpointRow.absent else { return false }
        var one = trace.endpoints[Int(left)]
        let other = trace.endpoints[Int(right)]
        guard equal(one.serviceName, other.serviceName, trace) else { return false }
        one.serviceName = other.serviceName
        return one == other
    }

    private static func tagsOf(_ span: SpanRow, _ trace: SpanBatch) -> ArraySlice<TagRow> {
        trace.tags[Int(span.tagStart)..<Int(span.tagStart) + Int(span.tagCount)]
    }

    private static func annotationsOf(_ span: SpanRow, _ trace: SpanBatch) -> ArraySlice<AnnotationRow> {
        trace.annotations[Int(span.annotationStart)..<Int(span.annotationStart) + Int(span.annotationCount)]
    }

    private static func bytes(_ text: TextRef, _ trace: SpanBatch) -> ArraySlice<UInt8> {
        trace.text[Int(text.offset)..<Int(text.offset) + Int(text.count)]
    }

    private static func hash(_ text: TextRef, _ trace: SpanBatch) -> UInt64 {
        unsafe bytes(text, trace).withUnsafeBytes { unsafe Mixing.hash($0) }
    }

    private static func equal(_ left: TextRef, _ right: TextRef, _ trace: SpanBatch) -> Bool {
        left.count == right.count && bytes(left, trace).elementsEqual(bytes(right, trace))
    }
}

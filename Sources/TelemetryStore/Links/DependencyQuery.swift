import TelemetryModel

/// Dependency links: what Zipkin's linker makes of whole traces, wherever their spans lie and however late they came.
///
/// A segment has the sums of its own traces, which are right for every trace that lies in it alone. For the others its part is taken away
/// again and the whole trace is linked: those with a part in another segment or in the head, which their hashes tell. Segments of the first
/// layout, and those with plain rows, have no sums that count; their traces are all linked now.
struct DependencyQuery {
    private let view: TraceView

    /// Traces linked anew at a time, by hash: what bounds the memory of an answer.
    private static let anewAtOnceMax = 16_384
    /// Hashes whose ids are compared at once; of more, most are traces whose parts came apart.
    private static let comparedMax = 16_384
    /// Links of one answer.
    private static let linksMax = 10_000

    init(_ view: TraceView) { self.view = view }

    /// The links of traces that began within `range` (microseconds); nil when a segment is gone.
    func links(_ range: ClosedRange<UInt64>) throws(StoreError) -> [DependencyLink]? {
        var answer = DependencyAnswer(range)
        guard try fill(&answer) else { return nil }
        return Array(answer.sums.links(answer.services).prefix(Self.linksMax))
    }

    /// False when a segment is gone.
    private func fill(_ answer: inout DependencyAnswer) throws(StoreError) -> Bool {
        answer.read(head: view.snapshot.head)
        var parts: [SegmentPart] = []
        for segment in view.snapshot.segments {
            guard let hashes = try view.hashes(segment) else {
                if view.isGone(segment) { return false }
                continue
            }
            var part = SegmentPart(segment: segment, hashes: hashes, isCovered: answer.sums.covers(segment))
            if part.isCovered {
                switch try view.header(segment) {
                case .gone: return false
                case .damaged: part.isDamaged = true
                case .found(let header):
                    part.hasLinks = segment.layout == SegmentLayout.current && header.hasAllLinks
                    if part.hasLinks { answer.add(header) }
                }
            }
            parts.append(part)
        }
        guard let split = try inFact(TracesApart.hashes(parts, head: answer.headHashes), parts, answer) else { return false }
        for start in stride(from: 0, to: split.count, by: Self.anewAtOnceMax) {
            let some = Array(split[start..<min(start + Self.anewAtOnceMax, split.count)])
            var whole: [UInt64: LinkedTrace] = [:]
            for part in parts where !part.isDamaged {
                let own = part.hashes.indexes(of: some)
                guard !own.isEmpty else { continue }
                guard try gather(part, own, &answer, { low, trace, answer in
                    if part.hasLinks { trace.add(to: &answer.sums, sign: -1, &answer.linker, answer.services) }
                    whole[low, default: LinkedTrace()].append(trace)
                }) else { return false }
            }
            for (low, trace) in answer.takeHead(some) { whole[low, default: LinkedTrace()].append(trace) }
            for trace in whole.values { trace.add(to: &answer.sums, sign: 1, &answer.linker, answer.services) }
        }
        // What is in one segment only and has no sums there.
        for part in parts where part.isCovered && !part.isDamaged && !part.hasLinks {
            let alone = part.hashes.sorted.indices.filter { TraceHashes.find(part.hashes.sorted[$0], in: split).isEmpty }
            guard try gather(part, alone, &answer, { _, trace, answer in
                trace.add(to: &answer.sums, sign: 1, &answer.linker, answer.services)
            }) else { return false }
        }
        for trace in answer.head.values { trace.add(to: &answer.sums, sign: 1, &answer.linker, answer.services) }
        return true
    }

    /// Those of `hashes` that are the hash of a trace in more than one place. Of a million traces some hundred pairs share one, and to link
    /// each of them anew a block was read; their ids, which lie together, tell them apart. Nil when a segment is gone.
    private func inFact(_ hashes: [UInt32], _ parts: [SegmentPart], _ answer: DependencyAnswer) throws(StoreError) -> [UInt32]? {
        guard !hashes.isEmpty, hashes.count <= Self.comparedMax else { return hashes }
        /// Low halves that were met, and the part that each was met in.
        var places: [UInt64: Int] = [:]
        var apart: Set<UInt32> = []
        for (number, part) in parts.enumerated() where !part.isDamaged {
            let found = part.hashes.indexes(of: hashes).map { part.hashes.place($0) }
            guard let ids = try view.entryIDs(part.segment, found) else {
                if view.isGone(part.segment) { return nil }
                // What cannot be told apart is read.
                return hashes
            }
            for id in ids where places.updateValue(number, forKey: id.low) ?? number != number { apart.insert(id.hash) }
        }
        for hash in hashes where answer.headLows(of: hash).contains(where: { places[$0] != nil }) { apart.insert(hash) }
        return hashes.filter { apart.contains($0) }
    }

    /// Reads the traces at some places of `part.hashes.sorted`, ascending, and hands each to `body` with its id's low half; false when the
    /// segment is gone.
    private func gather(
        _ part: SegmentPart, _ indexes: [Int], _ answer: inout DependencyAnswer,
        _ body: (UInt64, LinkedTrace, inout DependencyAnswer) -> Void
    ) throws(StoreError) -> Bool {
        let header: SegmentHeader
        switch try view.header(part.segment) {
        case .gone: return false
        case .damaged: return true
        case .found(let found): header = found
        }
        let nodes = SegmentNodes(header, &answer.services)
        let places = indexes.map { part.hashes.place($0) }.sorted()
        guard let ids = try view.entryIDs(part.segment, places) else { return !view.isGone(part.segment) }
        var services = answer.services
        var traces: [UInt64: LinkedTrace] = [:]
        var order: [UInt64] = []
        var next = 0
        var first = 0
        for (block, entry) in header.blocks.enumerated() {
            let end = first + entry.traceCount
            defer { first = end }
            let from = next
            while next < places.count, places[next] < end { next += 1 }
            guard next > from else { continue }
            var wanted = [Int32](repeating: -1, count: entry.traceCount)
            for at in from..<next { wanted[places[at] - first] = Int32(clamping: at) }
            let sound: Bool? = try unsafe view.connection.withRow(part.segment.number, Int64(block)) { hot, cold in
                unsafe nodes.read(
                    block, hot, cold(), view.connection.zstd, &services, wants: { wanted[$0] >= 0 }) { entry, node, timestamp in
                    let id = ids[Int(wanted[entry])]
                    if traces[id.low] == nil { order.append(id.low) }
                    traces[id.low, default: LinkedTrace()].append(node, high: id.high, timestamp: timestamp, isRoot: node.parentID == 0)
                }
            }
            if sound != true, view.isGone(part.segment) { return false }
            // Entries of one low half are neighbours, but may lie in two blocks: the last stays for the next.
            guard part.segment.layout == SegmentLayout.current, order.count > 1 else { continue }
            answer.services = services
            for low in order.dropLast() { if let trace = traces.removeValue(forKey: low) { body(low, trace, &answer) } }
            order.removeFirst(order.count - 1)
        }
        answer.services = services
        for low in order { if let trace = traces.removeValue(forKey: low) { body(low, trace, &answer) } }
        return true
    }
}

/// A segment as a dependency query sees it.
struct SegmentPart {
    var segment: Segment
    var hashes: TraceHashes
    /// It may have traces of the minutes asked for.
    var isCovered: Bool
    /// Its header's sums are right for traces that lie in it alone, and were added.
    var hasLinks = false
    var isDamaged = false
}

/// What is known so far of one answer.
struct DependencyAnswer {
    var sums: LinkSums
    var services = ServiceNumbers()
    var linker = DependencyLinker()
    /// Traces of the head, by low half, until they are linked.
    private(set) var head: [UInt64: LinkedTrace] = [:]
    /// Hashes of `head`'s traces, ascending.
    private(set) var headHashes: [UInt32] = []
    private var headByHash: [UInt32: [UInt64]] = [:]

    init(_ range: ClosedRange<UInt64>) { sums = LinkSums(range) }

    mutating func add(_ header: SegmentHeader) {
        var numbers = [Int32](repeating: -1, count: header.strings.count)
        func number(_ string: Int, _ services: inout ServiceNumbers) -> Int32 {
            if numbers[string] < 0 { numbers[string] = services.number(header.strings.string(string)) }
            return numbers[string]
        }
        for link in header.links where sums.buckets.contains(link.bucket) {
            sums.add(
                number(link.parent, &services), number(link.child, &services), calls: Int64(clamping: link.calls),
                errors: Int64(clamping: link.errors))
        }
    }

    mutating func read(head rows: [StoreSnapshot.Row]) {
        for row in rows {
            row.batch.linkNodes(&services) { id, node, timestamp in
                head[id.low, default: LinkedTrace()].append(node, high: id.high, timestamp: timestamp, isRoot: node.parentID == 0)
            }
        }
        for low in head.keys { headByHash[TraceID(high: 0, low: low).hash, default: []].append(low) }
        headHashes = headByHash.keys.sorted()
    }

    /// Low halves of the head's traces with a hash.
    func headLows(of hash: UInt32) -> [UInt64] { headByHash[hash] ?? [] }

    /// Takes the head's traces with one of these hashes out of it.
    mutating func takeHead(_ hashes: [UInt32]) -> [(UInt64, LinkedTrace)] {
        var taken: [(UInt64, LinkedTrace)] = []
        for hash in hashes {
            for low in headByHash[hash] ?? [] { if let trace = head.removeValue(forKey: low) { taken.append((low, trace)) } }
        }
        return taken
    }
}

import TelemetryModel

/// Calls between services, summed over the minutes that were asked for.
struct LinkSums {
    private struct Pair: Hashable {
        var parent: Int32
        var child: Int32
    }

    /// Minutes (`SegmentLimits.linkBucketMicroseconds`) that count.
    let buckets: ClosedRange<UInt64>
    private var sums: [Pair: (calls: Int64, errors: Int64)] = [:]
    /// Pairs counted at most; further ones are left out.
    static let pairsMax = 200_000

    init(_ range: ClosedRange<UInt64>) {
        let width = SegmentLimits.linkBucketMicroseconds
        buckets = range.lowerBound / width...range.upperBound / width
    }

    func covers(_ timestamp: UInt64) -> Bool { buckets.contains(timestamp / SegmentLimits.linkBucketMicroseconds) }

    /// Whether a segment may have traces of those minutes.
    func covers(_ segment: Segment) -> Bool {
        let width = SegmentLimits.linkBucketMicroseconds
        return segment.timestampMax / width >= buckets.lowerBound && segment.timestampMin / width <= buckets.upperBound
    }

    /// Negative counts take away what was counted of a part of a trace before the whole was seen.
    mutating func add(_ parent: Int32, _ child: Int32, calls: Int64, errors: Int64) {
        let pair = Pair(parent: parent, child: child)
        guard sums.count < Self.pairsMax || sums[pair] != nil else { return }
        sums[pair, default: (0, 0)].calls &+= calls
        sums[pair, default: (0, 0)].errors &+= errors
    }

    func links(_ services: ServiceNumbers) -> [DependencyLink] {
        sums.filter { $0.value.calls > 0 }.map {
            DependencyLink(
                parent: services.names[Int($0.key.parent)], child: services.names[Int($0.key.child)],
                callCount: UInt64(clamping: $0.value.calls),
                errorCount: UInt64(clamping: $0.value.errors))
        }.sorted { ($0.parent, $0.child) < ($1.parent, $1.child) }
    }
}

/// Spans as the linker needs them, of the traces with one low half of an id.
struct LinkedTrace {
    private var nodes: [LinkNode] = []
    /// The high half of each node's trace id.
    private var highs: [UInt64] = []
    var time = TraceTime()

    mutating func append(_ node: LinkNode, high: UInt64, timestamp: UInt64, isRoot: Bool) {
        nodes.append(node)
        highs.append(high)
        time.note(timestamp, isRoot: isRoot)
    }

    mutating func append(_ other: LinkedTrace) {
        nodes += other.nodes
        highs += other.highs
        time.note(other.time)
    }

    /// Adds its calls, `sign` times, if it began in a minute that counts.
    func add(to sums: inout LinkSums, sign: Int64, _ linker: inout DependencyLinker, _ services: ServiceNumbers) {
        guard sums.covers(time.timestamp) else { return }
        var ordered = nodes
        // As in a segment: those of shorter ids first, else in the order received.
        if let first = highs.first, highs.contains(where: { $0 != first }) {
            ordered = highs.indices.sorted { (highs[$0], $0) < (highs[$1], $1) }.map { nodes[$0] }
        }
        linker.connect(ordered, precedes: { services.precedes($0, $1) }) { parent, child, isError in
            sums.add(Int32(clamping: parent), Int32(clamping: child), calls: sign, errors: isError ? sign : 0)
        }
    }
}

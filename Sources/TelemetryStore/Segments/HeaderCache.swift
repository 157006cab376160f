/// Decoded segment headers, at most `bytesMax` of them.
final class HeaderCache: Sendable {
    static let bytesMax = 24 << 20
    private struct Contents {
        /// A merged segment has the number of another, and a slow reader may put the other's header here afterwards: so each comes with
        /// the segment that it was read for, and is given out for no other.
        var headers: [Int64: (segment: Segment, header: SegmentHeader)] = [:]
        var bytes = 0
        /// Damaged segments, so that each is counted once and not read again.
        var damaged: Set<Int64> = []
    }
    private let contents = Monitor(Contents())

    func find(_ segment: Segment) -> SegmentHeader? {
        contents.withLock { contents in contents.headers[segment.number].flatMap { $0.segment === segment ? $0.header : nil } }
    }

    func insert(_ header: SegmentHeader, _ segment: Segment) {
        contents.withLock { contents in
            if contents.bytes + header.memoryBytes > HeaderCache.bytesMax {
                contents.headers.removeAll()
                contents.bytes = 0
            }
            if let old = contents.headers.updateValue((segment, header), forKey: segment.number) {
                contents.bytes -= old.header.memoryBytes
            }
            contents.bytes += header.memoryBytes
        }
    }

    func forget(_ number: Int64) {
        contents.withLock { contents in
            if let old = contents.headers.removeValue(forKey: number) { contents.bytes -= old.header.memoryBytes }
            contents.damaged.remove(number)
        }
    }

    /// True the first time.
    func markDamaged(_ number: Int64) -> Bool { contents.withLock { $0.damaged.insert(number).inserted } }
}

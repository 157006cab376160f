/// What occurs in a segment together with which service: names, callees, tag keys, values where they are few, and each service's longest
/// span. Held in memory, so that a search for what a service never has passes over the segment without looking at it
/// (docs/formats/segment.md).
///
/// It may say that something occurs which does not (one time in a million), never the opposite. A segment of earlier versions has none,
/// nor has one with plain rows or with more facts than `factsMax`; then the header is asked. Immutable.
struct SegmentDigest: Sendable, Equatable {
    static let version: UInt8 = 1
    /// All segments' digests together take no more memory than this: of some thousand facts each, thousands of segments.
    static let bytesMax = 16 << 20
    /// A segment with more has none.
    static let factsMax = 8192

    /// Ascending.
    let facts: [UInt32]
    /// Of each service: its fact, and its longest span in microseconds.
    let longest: [Longest]

    struct Longest: Sendable, Equatable {
        var service: UInt32
        var duration: UInt64
    }

    var memoryBytes: Int { facts.count * 4 + longest.count * MemoryLayout<Longest>.stride + 64 }

    init(facts: [UInt32], longest: [Longest]) {
        self.facts = facts
        self.longest = longest
    }

    func holds(_ fact: SegmentFact) -> Bool { !TraceHashes.find(fact.code, in: facts).isEmpty }

    /// Whether a service may have a span that takes `least` microseconds or more.
    func mayLast(_ service: SegmentFact, atLeast least: UInt64) -> Bool {
        longest.contains { $0.service == service.code && $0.duration >= least }
    }

    /// `version | varint facts | u32… | varint services | (u32 fact, varint microseconds)… | u64 hash`.
    var encoded: [UInt8] {
        var writer = ByteWriter(capacity: facts.count * 4 + longest.count * 8 + 32)
        writer.append(Self.version)
        writer.append(varint: UInt64(facts.count))
        for fact in facts { writer.append(fact) }
        writer.append(varint: UInt64(longest.count))
        for one in longest {
            writer.append(one.service)
            writer.append(varint: one.duration)
        }
        writer.append(writer.hash())
        return writer.array()
    }

    /// Nil for damaged bytes and for those of a later version.
    init?(_ bytes: [UInt8], checksChecksum: Bool = true) {
        guard !checksChecksum || ByteReader.hasHash(bytes) else { return nil }
        let read: SegmentDigest? = ByteReader.read(bytes) { reader in
            guard reader.byte() == Self.version else { return nil }
            let facts = (0..<reader.count(bytesEach: 4)).map { _ in reader.uint32() }
            let longest = (0..<reader.count(bytesEach: 5)).map { _ in Longest(service: reader.uint32(), duration: reader.varint()) }
            guard !reader.failed, facts.count <= Self.factsMax else { return nil }
            return SegmentDigest(facts: facts, longest: longest)
        }
        guard let read else { return nil }
        self = read
    }
}

/// One thing that occurs in a segment, as a number: of a service's spans, or of any.
struct SegmentFact {
    /// Whose spans a fact is of: the hash of a service's name, or all.
    struct Scope {
        static let all = Scope(hash: 0)
        let hash: UInt64

        private init(hash: UInt64) { self.hash = hash }

        init(service name: UInt64) { hash = name | 1 }

        /// A service's scope and that of all, by the hash of one.
        static func scopes(ofHash hash: UInt64) -> [Scope] { hash == all.hash ? [all] : [Scope(hash: hash), all] }
    }

    let code: UInt32

    private init(_ tag: UInt64, _ scope: Scope, _ first: UInt64 = 0, _ second: UInt64 = 0) {
        let mixed = Mixing.fold(scope.hash &* Mixing.odd ^ first &+ tag) ^ second &* 0xFF51_AFD7_ED55_8CCD
        // 0 is no fact.
        code = max(1, UInt32(truncatingIfNeeded: Mixing.fold(mixed) >> 32))
    }

    // Texts are told by `Mixing.hash`.

    static func forService(_ scope: Scope) -> SegmentFact { SegmentFact(1, scope) }
    static func forRemote(_ name: UInt64, _ scope: Scope) -> SegmentFact { SegmentFact(2, scope, name) }
    static func forName(_ name: UInt64, _ scope: Scope) -> SegmentFact { SegmentFact(3, scope, name) }
    static func forKey(_ key: UInt64, _ scope: Scope) -> SegmentFact { SegmentFact(4, scope, key) }
    /// Some span has annotations.
    static func forAnnotations(_ scope: Scope) -> SegmentFact { SegmentFact(5, scope) }
    /// The kinds of which values are kept; of the others anything may be there.
    static func isGathered(_ kind: ValueKind) -> Bool { kind == .text || kind == .number || kind == .template }
    /// What stands for a template with a number in it.
    static func templateValue(_ template: UInt64, _ number: UInt64) -> UInt64 { template ^ Mixing.fold(number &+ Mixing.odd) }
    /// A value of a key: the hash of a text, a number, or `templateValue`.
    static func forValue(_ value: UInt64, _ kind: ValueKind, ofKey key: UInt64, _ scope: Scope) -> SegmentFact {
        SegmentFact(6, scope, key ^ UInt64(kind.rawValue) << 56, value)
    }
    /// Anything may be among the values of this kind that a key has.
    static func forAnyValue(_ kind: ValueKind, ofKey key: UInt64, _ scope: Scope) -> SegmentFact {
        SegmentFact(7, scope, key ^ UInt64(kind.rawValue) << 56)
    }
}

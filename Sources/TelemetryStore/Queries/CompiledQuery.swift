import TelemetryModel

/// A query turned into numbers of one dictionary (a segment's or a head batch's), so that spans are tested without touching text.
///
/// It may say yes too often (text outside the dictionary, annotations), never no wrongly; whoever uses it checks the whole trace
/// with `ExactMatcher` afterwards.
struct CompiledQuery {
    /// Bits of criteria: service, remote service, name, duration, then the terms.
    static let serviceBit: UInt32 = 1, remoteBit: UInt32 = 2, nameBit: UInt32 = 4, durationBit: UInt32 = 8
    static let firstTermBit: UInt32 = 16
    static let firstTraitBit: UInt32 = 1 << 28

    struct Term {
        var key: [UInt8]
        /// Empty for a bare word.
        var value: [UInt8]
        var classified: ClassifiedValue
        var keyHash: UInt64
        /// `prefix NUL suffix` of a value that is one; else empty.
        var template: [UInt8] = []

        init(key: [UInt8], value: [UInt8]) {
            self.key = key
            self.value = value
            classified = unsafe value.withUnsafeBytes { unsafe ClassifiedValue($0) }
            keyHash = Mixing.hash(key)
            if classified.kind == .template {
                template = Array(value[..<classified.digitsStart]) + [0] + Array(value[classified.digitsEnd...])
            }
        }

        /// What a segment's filter holds of the value.
        var filterHash: UInt64 {
            BloomFilter.hash(
                keyHash, classified.a,
                classified.kind == .template ? Mixing.hash(template) : classified.b)
        }

        /// What the filter of an older segment holds of it.
        var olderFilterHash: UInt64 { BloomFilter.hash(keyHash, classified.a, classified.kind == .template ? 1 : classified.b) }
    }

    /// A payload that decides a criterion: the value of payload `payload` of a shape, which is column `column` of a segment.
    struct Check {
        var bit: UInt32
        /// Of a term, or of a trait.
        var index: Int
        var isTrait = false
        var payload: Int
    }

    struct ShapeTest {
        /// Spans of this shape may meet something.
        var counts = false
        /// Their service is the one asked for.
        var isInScope = false
        /// Criteria met by the shape alone.
        var bits: UInt32 = 0
        var checks: [Check] = []
        /// Spans of this shape may meet anything.
        var isUnknown = false
    }

    let query: TraceQuery
    let terms: [Term]
    let traits: [CompiledTrait]
    let required: UInt32
    /// By which segments were built.
    private let limits: SegmentLimits

    init(_ query: TraceQuery, _ limits: SegmentLimits) {
        self.query = query
        self.limits = limits
        var required: UInt32 = 0
        if !query.serviceName.isEmpty { required |= Self.serviceBit }
        if !query.remoteServiceName.isEmpty { required |= Self.remoteBit }
        if !query.spanName.isEmpty { required |= Self.nameBit }
        if query.durationMin != nil { required |= Self.durationBit }
        terms = query.terms.prefix(QueryLimits.termsMax).map { term in
            let (key, value) = switch term {
            case .tag(let key, let value): (Array(key.utf8), Array(value.utf8))
            case .annotationOrKey(let key): (Array(key.utf8), [UInt8]())
            }
            return Term(key: key, value: value)
        }
        traits = query.traits.prefix(QueryLimits.traitsMax).map { CompiledTrait($0) }
        for index in terms.indices { required |= Self.firstTermBit << UInt32(index) }
        for index in traits.indices { required |= Self.firstTraitBit << UInt32(index) }
        self.required = required
    }

    /// String numbers for one dictionary.
    struct Numbers {
        var service = 0
        var remote = 0
        var name = 0
        var keys: [Int] = []
        /// Number + 1 of the value's text or template; 0 = not in the dictionary.
        var values: [Int] = []
        var words: [Bool] = []
        var traits: [CompiledTrait.Numbers] = []
        /// Strings may be missing from this dictionary though spans have them.
        var isPartial = false
    }

    func numbers(_ strings: StringList) -> Numbers {
        var numbers = Numbers()
        numbers.isPartial = strings.count >= limits.stringsMax
            || strings.bytes.count + ValueKind.textBytesMax >= limits.stringBytesMax
        numbers.service = (strings.find(Array(query.serviceName.utf8)) ?? -1) + 1
        numbers.remote = (strings.find(Array(query.remoteServiceName.utf8)) ?? -1) + 1
        numbers.name = (strings.find(Array(query.spanName.utf8)) ?? -1) + 1
        for term in terms {
            let key = strings.find(term.key) ?? -1
            numbers.keys.append(key)
            numbers.words.append(key >= 0 || numbers.isPartial || term.key.count > ValueKind.textBytesMax)
            switch term.classified.kind {
            case .text: numbers.values.append((strings.find(term.value) ?? -1) + 1)
            case .template: numbers.values.append((strings.find(term.template) ?? -1) + 1)
            default: numbers.values.append(0)
            }
        }
        numbers.traits = traits.map { $0.numbers(strings, isPartial: numbers.isPartial) }
        return numbers
    }

    func shapeTest(_ shape: SpanShape, _ numbers: Numbers) -> ShapeTest {
        var test = ShapeTest()
        for (index, trait) in traits.enumerated() {
            let bit = Self.firstTraitBit << UInt32(index)
            let (isMet, payloads) = trait.test(shape, numbers.traits[index])
            if isMet { test.bits |= bit } else {
                test.checks += payloads.map { Check(bit: bit, index: index, isTrait: true, payload: $0) }
            }
        }
        test.counts = test.bits != 0 || !test.checks.isEmpty
        if !query.serviceName.isEmpty {
            guard numbers.service > 0, Int(shape.localService) == numbers.service else { return test }
            test.bits |= Self.serviceBit
        }
        test.counts = true
        test.isInScope = true
        if !query.remoteServiceName.isEmpty, numbers.remote > 0, Int(shape.remoteService) == numbers.remote { test.bits |= Self.remoteBit }
        if !query.spanName.isEmpty, numbers.name > 0, Int(shape.name) == numbers.name { test.bits |= Self.nameBit }
        for (index, term) in terms.enumerated() {
            let bit = Self.firstTermBit << UInt32(index)
            if term.value.isEmpty, shape.flags & SpanShape.hasAnnotations != 0, numbers.words[index] { test.bits |= bit }
            guard numbers.keys[index] >= 0 else { continue }
            let key = UInt32(numbers.keys[index]) + PayloadKey.firstString
            for (payload, known) in shape.payloads.enumerated() where known.key == key {
                if term.value.isEmpty {
                    test.bits |= bit
                } else if known.kind == term.classified.kind {
                    test.checks.append(Check(bit: bit, index: index, payload: payload))
                }
            }
        }
        return test
    }

    @inline(__always)
    func durationMatches(_ duration: UInt64) -> Bool {
        duration >= query.durationMin ?? 0 && duration <= query.durationMax ?? UInt64.max
    }
}

/// A trace, or a part of one, that may match.
struct TraceCandidate {
    var id: TraceID
    /// Microseconds: the part's root, else its earliest.
    var timestamp: UInt64
}

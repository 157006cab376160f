internal import Primitives
import TelemetryModel

/// A trait of a query turned into numbers of one dictionary, as `CompiledQuery` is: it may say yes too often, never no wrongly.
struct CompiledTrait {
    private enum Meaning {
        case key
        case number(ClosedRange<UInt64>)
        case text([UInt8])
    }

    /// A number's range beyond this is not looked up value by value.
    private static let valuesMax: UInt64 = 1000

    private let meaning: Meaning
    /// Of tags that it is about; none for a text.
    private let keys: [[UInt8]]
    private let keyHashes: [UInt64]
    /// The text may stand in a number, an address or an id, which no dictionary has.
    private let mayBeInPacked: Bool
    /// The text may go over the digits of a template.
    private let hasDigits: Bool

    init(_ trait: TraceTrait) {
        switch trait {
        case .key(let key): (meaning, keys) = (.key, [Array(key.utf8)])
        case .number(let names, let range): (meaning, keys) = (.number(range), names.map { Array($0.utf8) })
        case .text(let part): (meaning, keys) = (.text(part), [])
        }
        keyHashes = keys.map { Mixing.hash($0) }
        var isPacked = false
        var digits = false
        if case .text(let part) = meaning {
            isPacked = part.allSatisfy { ASCII.hexValue($0) < 16 || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") }
            digits = part.contains { $0 &- 48 < 10 }
        }
        (mayBeInPacked, hasDigits) = (isPacked, digits)
    }

    // MARK: One dictionary

    /// What of one dictionary the trait is about.
    struct Numbers {
        /// Payload keys.
        fileprivate var keys: [UInt32] = []
        /// By number: strings that have the text in them; empty = none has.
        fileprivate var hits: [Bool] = []
        /// Spans may have strings that the dictionary has not.
        fileprivate var isPartial = false
    }

    /// `isPartial`: spans may have strings that are not among these.
    func numbers(_ strings: StringList, isPartial: Bool) -> Numbers {
        var numbers = Numbers()
        numbers.isPartial = isPartial
        numbers.keys = keys.compactMap { key in strings.find(key).map { UInt32($0) + PayloadKey.firstString } }
        guard case .text(let part) = meaning else { return numbers }
        // All strings lie together: one look along them tells most dictionaries that have it nowhere.
        guard ASCII.isPart(part, of: strings.bytes[...]) else { return numbers }
        numbers.hits = strings.references.map { reference in
            ASCII.isPart(part, of: strings.bytes[Int(reference.offset)..<Int(reference.offset) + Int(reference.count)])
        }
        return numbers
    }

    /// Whether spans of a shape may meet it by the shape alone, else the payloads that decide it.
    func test(_ shape: SpanShape, _ numbers: Numbers) -> (isMet: Bool, payloads: [Int]) {
        switch meaning {
        case .key: return (shape.payloads.contains { numbers.keys.contains($0.key) }, [])
        case .number:
            return (false, shape.payloads.indices.filter { place in
                shape.payloads[place].kind == .number && numbers.keys.contains(shape.payloads[place].key)
            })
        case .text: return testText(shape, numbers)
        }
    }

    private func testText(_ shape: SpanShape, _ numbers: Numbers) -> (isMet: Bool, payloads: [Int]) {
        func isHit(_ number: UInt32) -> Bool { number > 0 && isText(UInt64(number), numbers) }
        if shape.flags & SpanShape.hasAnnotations != 0 { return (true, []) }
        if isHit(shape.name) || isHit(shape.localService) || isHit(shape.remoteService) { return (true, []) }
        let mayBeInValues = !numbers.hits.isEmpty || numbers.isPartial
        var places: [Int] = []
        for (place, payload) in shape.payloads.enumerated() where payload.key >= PayloadKey.firstString {
            if isHit(payload.key - PayloadKey.firstString + 1) { return (true, []) }
            switch payload.kind {
            case .template where hasDigits: return (true, [])
            case .text, .template: if mayBeInValues { places.append(place) }
            case .long: return (true, [])
            case .number, .ipv4, .uuid, .hex16, .hex32: if mayBeInPacked { return (true, []) }
            }
        }
        return (false, places)
    }

    /// Whether a value of a payload that decides it meets it: a number, or a string's number + 1, 0 = in no dictionary.
    @inline(__always)
    func isMet(by value: UInt64, _ numbers: Numbers) -> Bool {
        switch meaning {
        case .key: true
        case .number(let range): range.contains(value)
        case .text: value == 0 || isText(value, numbers)
        }
    }

    private func isText(_ number: UInt64, _ numbers: Numbers) -> Bool {
        number <= UInt64(numbers.hits.count) && numbers.hits[Int(number) - 1]
    }

    // MARK: Whole segments

    /// Whether a span of the segment may meet it.
    func mayBeMet(by digest: SegmentDigest) -> Bool {
        switch meaning {
        case .key: return keyHashes.contains { digest.holds(.forKey($0, .all)) }
        case .number(let range):
            guard range.upperBound - range.lowerBound < Self.valuesMax else { return true }
            return keyHashes.contains { key in
                digest.holds(.forAnyValue(.number, ofKey: key, .all))
                    || range.contains { digest.holds(.forValue($0, .number, ofKey: key, .all)) }
            }
        case .text: return true
        }
    }
}

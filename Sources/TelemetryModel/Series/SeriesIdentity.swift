/// The bytes that name a series: its kind, a classic histogram's bounds, its labels. One codec for batches, the store and reports of other
/// proxies; the same series always has the same bytes.
///
/// ```
/// u8 kind | classic histogram: u8 count, f64… upper bounds, ascending, without +Inf | label…
/// label: varint length, name | varint length, value        sorted by the bytes of the names, each once, no value empty
/// ```
///
/// Numbers are little endian. Series that differ in kind or bounds alone are different series here, and one series with all of their
/// samples when they are asked for.
public enum SeriesIdentity {
    /// What one identity may take.
    public static let bytesMax = 16 << 10
    public static let labelsMax = 128
    public static let boundsMax = 200

    /// Why bytes are not an identity.
    public enum Problem: Error, Hashable, Sendable {
        case truncated
        case unknownKind
        case tooLarge
        /// Not ascending, or not finite.
        case bounds
        /// Not sorted, twice, empty or no UTF-8.
        case labels
    }

    /// The identity of a series with these labels. `bounds` of classic histograms alone.
    public static func encode(_ labels: LabelSet, _ kind: SeriesKind, bounds: [Double] = []) -> [UInt8] {
        var bytes = prefix(kind, bounds: bounds)
        for label in labels.labels {
            append(label.name.utf8, to: &bytes)
            append(label.value.utf8, to: &bytes)
        }
        return bytes
    }

    /// What stands before the labels.
    public static func prefix(_ kind: SeriesKind, bounds: [Double] = []) -> [UInt8] {
        var bytes = [kind.rawValue]
        guard kind == .classicHistogram else { return bytes }
        bytes.append(UInt8(clamping: bounds.count))
        for bound in bounds.prefix(boundsMax) {
            for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: bound.bitPattern >> (shift * 8))) }
        }
        return bytes
    }

    /// A length and so many bytes: half of a label.
    @inlinable
    public static func append(_ text: some Collection<UInt8>, to bytes: inout [UInt8]) {
        var length = text.count
        while length >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: length) | 0x80)
            length >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: length))
        bytes.append(contentsOf: text)
    }

    /// Numbers of a sample of this kind: 1, or a classic histogram's buckets, count and sum. Native histograms have none of their own.
    public static func columns(_ kind: SeriesKind, bounds: Int) -> Int {
        switch kind {
        case .counter, .gauge, .unknown: 1
        case .classicHistogram: bounds + 3
        case .nativeHistogram: 0
        }
    }

    /// Looks at bytes from elsewhere: whether they are an identity.
    public static func check(_ bytes: [UInt8]) throws(Problem) { _ = try SeriesIdentityReader(bytes).labels() }
}

/// Reads an identity part by part. Every position is checked.
public struct SeriesIdentityReader {
    public let bytes: [UInt8]
    public let kind: SeriesKind
    public let bounds: [Double]
    /// Where the labels begin.
    public let labelsStart: Int

    public init(_ bytes: [UInt8]) throws(SeriesIdentity.Problem) {
        guard let first = bytes.first else { throw .truncated }
        guard bytes.count <= SeriesIdentity.bytesMax else { throw .tooLarge }
        guard let kind = SeriesKind(rawValue: first) else { throw .unknownKind }
        self.bytes = bytes
        self.kind = kind
        guard kind == .classicHistogram else {
            bounds = []
            labelsStart = 1
            return
        }
        guard bytes.count >= 2, bytes.count >= 2 + Int(bytes[1]) * 8 else { throw .truncated }
        guard Int(bytes[1]) <= SeriesIdentity.boundsMax else { throw .tooLarge }
        var bounds: [Double] = []
        for index in 0..<Int(bytes[1]) {
            var bits: UInt64 = 0
            for shift in 0..<8 { bits |= UInt64(bytes[2 + index * 8 + shift]) << (shift * 8) }
            bounds.append(Double(bitPattern: bits))
        }
        guard bounds.allSatisfy(\.isFinite), zip(bounds, bounds.dropFirst()).allSatisfy({ $0 < $1 }) else { throw .bounds }
        self.bounds = bounds
        labelsStart = 2 + bounds.count * 8
    }

    /// The label that begins at `position`, which then stands behind it; ranges of bytes.
    public func label(at position: inout Int) throws(SeriesIdentity.Problem) -> (name: Range<Int>, value: Range<Int>) {
        let name = try text(&position)
        return (name, try text(&position))
    }

    private func text(_ position: inout Int) throws(SeriesIdentity.Problem) -> Range<Int> {
        var length = 0
        var shift = 0
        while true {
            guard position < bytes.count, shift <= 14 else { throw .truncated }
            let byte = bytes[position]
            position += 1
            length |= Int(byte & 0x7F) << shift
            if byte < 0x80 { break }
            shift += 7
        }
        guard length <= bytes.count - position else { throw .truncated }
        defer { position += length }
        return position..<position + length
    }

    /// All labels, checked: their order, that no value is empty, and that they are UTF-8.
    public func labels() throws(SeriesIdentity.Problem) -> LabelSet {
        var labels: [LabelSet.Label] = []
        var position = labelsStart
        var last: Range<Int>?
        while position < bytes.count {
            let (name, value) = try label(at: &position)
            if let last, !bytes[last].lexicographicallyPrecedes(bytes[name]) { throw .labels }
            guard !name.isEmpty, !value.isEmpty, let nameText = String(validating: bytes[name], as: UTF8.self),
                let valueText = String(validating: bytes[value], as: UTF8.self)
            else { throw .labels }
            last = name
            labels.append(LabelSet.Label(nameText, valueText))
            if labels.count > SeriesIdentity.labelsMax { throw .tooLarge }
        }
        return LabelSet(labels)
    }
}

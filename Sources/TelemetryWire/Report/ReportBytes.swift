/// Pieces that reports, and their parts and answers, are written of: LEB128 varints, lengths before bytes, little endian.
public enum ReportBytes {
    public static func append(varint value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    public static func append(_ blob: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
        append(varint: UInt64(blob.count), to: &bytes)
        bytes += blob
    }

    public static func append(word: UInt64, to bytes: inout [UInt8]) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
    }
}

/// A place in a report's bytes; every length is held against what is left.
public struct ReportReader: Sendable {
    @usableFromInline let bytes: [UInt8]
    @usableFromInline var place = 0

    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    public var isAtEnd: Bool { place == bytes.count }
    public func fault(_ reason: String) -> ReportFault { ReportFault(reason: reason, offset: place) }

    public mutating func expect(_ wanted: [UInt8]) throws(ReportFault) {
        guard bytes.count >= wanted.count, bytes[..<wanted.count].elementsEqual(wanted) else { throw fault("no report of this version") }
        place = wanted.count
    }

    /// Most numbers of a report are below 128, and read where they are asked for.
    @inlinable
    public mutating func varint() throws(ReportFault) -> UInt64 {
        if place < bytes.count, bytes[place] < 0x80 {
            defer { place += 1 }
            return UInt64(bytes[place])
        }
        return try longVarint()
    }

    @usableFromInline
    mutating func longVarint() throws(ReportFault) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 64 {
            guard place < bytes.count else { throw fault("the report ends too early") }
            let byte = bytes[place]
            place += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw fault("a number longer than ten bytes")
    }

    /// A number of things, each of which takes a byte at least.
    public mutating func count(most: Int) throws(ReportFault) -> Int {
        let value = try varint()
        guard value <= UInt64(min(most, bytes.count - place)) else { throw fault("more items than the report has bytes, or than \(most)") }
        return Int(value)
    }

    public mutating func blob(most: Int) throws(ReportFault) -> ArraySlice<UInt8> {
        let length = try varint()
        guard length <= UInt64(min(most, bytes.count - place)) else { throw fault("a length beyond the report's end, or above \(most)") }
        defer { place += Int(length) }
        return bytes[place..<place + Int(length)]
    }

    public mutating func text(most: Int) throws(ReportFault) -> String {
        guard let text = String(validating: try blob(most: most), as: UTF8.self), !text.isEmpty else {
            throw fault("an empty sender, or no UTF-8")
        }
        return text
    }

    public mutating func byte() throws(ReportFault) -> UInt8 {
        guard place < bytes.count else { throw fault("the report ends too early") }
        defer { place += 1 }
        return bytes[place]
    }

    public mutating func double() throws(ReportFault) -> Double { Double(bitPattern: try word()) }

    public mutating func word() throws(ReportFault) -> UInt64 {
        guard bytes.count - place >= 8 else { throw fault("the report ends too early") }
        var bits: UInt64 = 0
        for shift in 0..<8 { bits |= UInt64(bytes[place + shift]) << UInt64(shift * 8) }
        place += 8
        return bits
    }
}

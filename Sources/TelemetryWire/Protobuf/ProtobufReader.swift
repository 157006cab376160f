/// A protobuf wire-format error: what and where.
struct ProtobufError: Error, BitwiseCopyable {
    var fault: WireFault
    var offset: Int
}

/// Walks the fields of one protobuf message in place (protobuf encoding: tag, wire types 0, 1, 2, 5; groups are skipped, as fields that
/// nobody knows).
///
/// A nested message is another reader over a part of the same bytes, so nothing is copied and every length is held against its
/// parent's end. The bytes must outlive the reader: its users live inside one `withUnsafeBytes`.
@safe
struct ProtobufReader {
    /// Groups inside one another, protobuf's own bound.
    static let groupDepthMax = 100

    let base: UnsafeRawPointer
    var at: Int
    let end: Int
    /// Of the field that `next()` has taken.
    var field: UInt32 = 0
    var wireType: UInt8 = 0

    init(_ buffer: UnsafeRawBufferPointer) {
        if let address = buffer.baseAddress {
            unsafe base = address
        } else {
            unsafe base = UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped  // Never read: the count is zero.
        }
        at = 0
        end = buffer.count
    }

    init(_ parent: ProtobufReader, _ range: Range<Int>) {
        unsafe base = parent.base
        at = range.lowerBound
        end = range.upperBound
    }

    func error(_ fault: WireFault) -> ProtobufError { ProtobufError(fault: fault, offset: at) }

    /// Takes the next field's tag; false at the end of the message.
    @inline(__always)
    mutating func next() throws(ProtobufError) -> Bool {
        if at >= end { return false }
        let tag = try varint()
        wireType = UInt8(truncatingIfNeeded: tag & 7)
        guard tag >> 3 != 0, tag >> 3 < 1 << 29 else { throw error(.invalidTag) }
        field = UInt32(truncatingIfNeeded: tag >> 3)
        return true
    }

    @inline(__always)
    mutating func varint() throws(ProtobufError) -> UInt64 {
        guard at < end else { throw error(.truncated) }
        let first = unsafe base.load(fromByteOffset: at, as: UInt8.self)
        if first < 0x80 {
            at &+= 1
            return UInt64(first)
        }
        return try longVarint()
    }

    private mutating func longVarint() throws(ProtobufError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 70 {
            guard at < end else { throw error(.truncated) }
            let byte = unsafe base.load(fromByteOffset: at, as: UInt8.self)
            at &+= 1
            if shift < 64 { value |= UInt64(byte & 0x7F) << shift }
            if byte < 0x80 { return value }
            shift &+= 7
        }
        throw error(.varintTooLong)
    }

    /// The value of a varint field; a field of another wire type is refused.
    @inline(__always)
    mutating func varintField() throws(ProtobufError) -> UInt64 {
        guard wireType == 0 else { throw error(.wrongWireType) }
        return try varint()
    }

    @inline(__always)
    mutating func fixed64Field() throws(ProtobufError) -> UInt64 {
        guard wireType == 1 else { throw error(.wrongWireType) }
        guard end &- at >= 8 else { throw error(.truncated) }
        let value = unsafe base.loadUnaligned(fromByteOffset: at, as: UInt64.self).littleEndian
        at &+= 8
        return value
    }

    /// Where the bytes of a length-delimited field lie.
    @inline(__always)
    mutating func bytesField() throws(ProtobufError) -> Range<Int> {
        guard wireType == 2 else { throw error(.wrongWireType) }
        let length = try varint()
        guard length <= UInt64(end &- at) else { throw error(.lengthOutOfRange) }
        let start = at
        at &+= Int(length)
        return unsafe Range(uncheckedBounds: (start, at))
    }

    mutating func skipField() throws(ProtobufError) {
        switch wireType {
        case 0: _ = try varint()
        case 1: _ = try fixed64Field()
        case 2: _ = try bytesField()
        case 5:
            guard end - at >= 4 else { throw error(.truncated) }
            at += 4
        case 3: try skipGroup()
        default: throw error(.unknownWireType)
        }
    }

    /// Skips a group whose start has been taken, to the end of the same number.
    @inline(never)
    private mutating func skipGroup() throws(ProtobufError) {
        var numbers = [field]
        while let number = numbers.last {
            guard try next() else { throw error(.truncated) }
            switch wireType {
            case 3:
                guard numbers.count < Self.groupDepthMax else { throw error(.tooDeep) }
                numbers.append(field)
            case 4:
                guard field == number else { throw error(.unknownWireType) }
                numbers.removeLast()
            default: try skipField()
            }
        }
    }

    /// Eight bytes of the body as a number, the first one highest.
    func bigEndian(_ range: Range<Int>) -> UInt64 { unsafe bytes(range).reduce(0) { $0 << 8 | UInt64($1) } }

    @inline(__always)
    func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
    }

    @inline(__always)
    func byte(_ offset: Int) -> UInt8 { unsafe base.load(fromByteOffset: offset, as: UInt8.self) }

    /// The number in the last sixteen bytes of `range`, the most significant first.
    func bigEndian(_ range: Range<Int>) -> (high: UInt64, low: UInt64) {
        var high: UInt64 = 0
        var low: UInt64 = 0
        for offset in range.suffix(16) {
            high = high << 8 | low >> 56
            low = low << 8 | UInt64(byte(offset))
        }
        return (high, low)
    }
}

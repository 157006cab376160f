internal import Primitives

/// The fields of a protobuf message, one after the other (Protocol Buffers, "Encoding"). Bytes of somebody else: nothing in them traps, and
/// what breaks the encoding ends it, told by `isBroken`.
struct ProtobufFields {
    enum Value {
        case number(UInt64)
        /// Text, bytes, or a message.
        case bytes(LentBytes)
        /// Of a fixed size: no field that is read here.
        case other
    }

    private let bytes: LentBytes
    private var place = 0
    /// The bytes are no message.
    private(set) var isBroken = false

    init(_ bytes: LentBytes) { self.bytes = bytes }

    /// Nil = there is no further field, or none that can be read.
    mutating func next() -> (number: UInt64, value: Value)? {
        guard !isBroken, place < bytes.count, let key = readVarint() else { return nil }
        let number = key >> 3
        guard number > 0 else { return fail() }
        switch key & 7 {
        case 0:
            guard let value = readVarint() else { return nil }
            return (number, .number(value))
        case 1: return skip(8) ? (number, .other) : nil
        case 2:
            guard let length = readVarint() else { return nil }
            guard let count = Int(exactly: length), count <= bytes.count - place else { return fail() }
            defer { place += count }
            return (number, .bytes(bytes[place..<place + count]))
        case 5: return skip(4) ? (number, .other) : nil
        // Groups went out of use before this service came.
        default: return fail()
        }
    }

    private mutating func skip(_ count: Int) -> Bool {
        guard count <= bytes.count - place else {
            isBroken = true
            return false
        }
        place += count
        return true
    }

    /// At most ten bytes; what is beyond 64 bits is dropped, as all readers do.
    private mutating func readVarint() -> UInt64? {
        var value: UInt64 = 0
        for index in 0..<10 {
            guard place < bytes.count else { break }
            let byte = bytes[place]
            place += 1
            value |= UInt64(byte & 0x7F) &<< UInt64(7 * index)
            if byte < 0x80 { return value }
        }
        isBroken = true
        return nil
    }

    private mutating func fail() -> (number: UInt64, value: Value)? {
        isBroken = true
        return nil
    }
}

/// Numbers of series, ascending: those that have a label. Gaps as varints, because most labels are on many neighbours, and one number
/// without any allocation, because some labels are on one series alone.
enum PostingList {
    case one(UInt32)
    case many(bytes: [UInt8], last: UInt32, count: Int)

    var count: Int {
        switch self {
        case .one: 1
        case .many(_, _, let count): count
        }
    }

    /// `id` is higher than all others.
    mutating func append(_ id: UInt32) {
        switch self {
        case .one(let first):
            var bytes: [UInt8] = []
            Self.append(first, to: &bytes)
            Self.append(id - first, to: &bytes)
            self = .many(bytes: bytes, last: id, count: 2)
        case .many(var bytes, let last, let count):
            // Let go of the array, or it would be copied.
            self = .one(id)
            Self.append(id - last, to: &bytes)
            self = .many(bytes: bytes, last: id, count: count + 1)
        }
    }

    private static func append(_ value: UInt32, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    func forEach(_ body: (UInt32) -> Void) {
        switch self {
        case .one(let id): body(id)
        case .many(let bytes, _, _):
            var id: UInt32 = 0
            var value: UInt32 = 0
            var shift: UInt32 = 0
            for byte in bytes {
                value |= UInt32(byte & 0x7F) &<< shift
                shift &+= 7
                guard byte < 0x80 else { continue }
                id &+= value
                body(id)
                value = 0
                shift = 0
            }
        }
    }
}

import TelemetryModel

/// Cheap non-cryptographic mixing: table hashes, filters and damage checks. Not a defence against chosen keys; every table that uses
/// it is bounded in size and probe length.
enum Mixing {
    static let odd: UInt64 = 0x9E37_79B9_7F4A_7C15

    @inline(__always)
    static func fold(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed ^= mixed >> 33
        mixed = mixed &* 0xFF51_AFD7_ED55_8CCD
        mixed ^= mixed >> 33
        mixed = mixed &* 0xC4CE_B9FE_1A85_EC53
        mixed ^= mixed >> 33
        return mixed
    }

    /// The inverse of `fold`, which makes a sorted trace hash double as half of the trace id.
    static func unfold(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed ^= mixed >> 33
        mixed = mixed &* 0x9CB4_B2F8_1293_37DB
        mixed ^= mixed >> 33
        mixed = mixed &* 0x4F74_430C_22A5_4005
        mixed ^= mixed >> 33
        return mixed
    }

    static func hash(_ bytes: [UInt8]) -> UInt64 { unsafe bytes.withUnsafeBytes { unsafe hash($0) } }
    static func hash(text: String) -> UInt64 { hash(Array(text.utf8)) }

    @inline(__always)
    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        guard let base = bytes.baseAddress else { return odd }
        let count = bytes.count
        var state = UInt64(truncatingIfNeeded: count) &* odd
        var at = 0
        while count &- at >= 8 {
            state = (state ^ (unsafe base.loadUnaligned(fromByteOffset: at, as: UInt64.self))) &* 0xFF51_AFD7_ED55_8CCD
            state ^= state >> 32
            at &+= 8
        }
        if at < count {
            var tail: UInt64 = 0
            if count >= 8 {
                tail = unsafe base.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
            } else {
                while at < count {
                    tail = tail << 8 | UInt64(unsafe base.load(fromByteOffset: at, as: UInt8.self))
                    at &+= 1
                }
            }
            state = (state ^ tail) &* 0xFF51_AFD7_ED55_8CCD
            state ^= state >> 32
        }
        return state &* odd ^ (state >> 29)
    }
}

extension TraceID {
    /// A bijection of `low`; segments sort traces by it. The high half has no part in it, because some systems send a trace's spans with
    /// and without it.
    @inline(__always)
    var sortKey: UInt64 { Mixing.fold(low) }

    /// The sort key's high half.
    @inline(__always)
    var hash: UInt32 { UInt32(truncatingIfNeeded: sortKey >> 32) }

    init(sortKey: UInt64, high: UInt64) {
        self.init(high: high, low: Mixing.unfold(sortKey))
    }

    /// The sort key of segments of the first layout: a bijection of `low` for a given `high`.
    var firstSortKey: UInt64 { Mixing.fold(low &+ high &* Mixing.odd) }

    init(firstSortKey: UInt64, high: UInt64) {
        self.init(high: high, low: Mixing.unfold(firstSortKey) &- high &* Mixing.odd)
    }
}

/// The bytes that the parts of a head are made of (RFC 9110 5, RFC 9112 3), and where such a part ends: the first byte that is not of it,
/// or the end of what is there. Inlined, as they are asked for each line of each head.
enum HeadBytes {
    @inline(__always)
    static func skipMethod(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int {
        // `GET `, as most are.
        let isGET = unsafe start &+ 4 <= bytes.count && bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self) == 0x2054_4547
        if isGET { return start &+ 3 }
        var cursor = start
        while unsafe cursor < bytes.count && isToken(bytes[cursor]) { cursor &+= 1 }
        return cursor
    }

    /// Where a target ends, looking at eight bytes at a time. Anything visible belongs to it, and bytes above 127 as existing proxies take
    /// them; never a space or a control character.
    @inline(__always)
    static func skipTarget(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int {
        var cursor = start
        let ones: UInt64 = 0x0101_0101_0101_0101
        while cursor &+ 8 <= bytes.count {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: cursor, as: UInt64.self)
            let low = (word &- ones &* 33) & ~word
            let delete = word ^ (ones &* 127)
            let stop = (low | (delete &- ones) & ~delete) & (ones &* 128)
            if stop != 0 { return cursor &+ stop.trailingZeroBitCount / 8 }
            cursor &+= 8
        }
        while unsafe cursor < bytes.count && bytes[cursor] > 32 && bytes[cursor] != 127 { cursor &+= 1 }
        return cursor
    }

    /// CR LF.
    @inline(__always)
    static func isLineEnd(_ bytes: UnsafeRawBufferPointer, _ cursor: Int) -> Bool {
        unsafe cursor &+ 2 <= bytes.count && bytes.loadUnaligned(fromByteOffset: cursor, as: UInt16.self) == 0x0A0D
    }

    /// Where the colon is, looking at eight bytes at a time, or a byte that no name has: a control character, a space or one above 127.
    @inline(__always)
    static func skipName(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int {
        var cursor = start
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        while cursor &+ 8 <= bytes.count {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: cursor, as: UInt64.self)
            let low = (word &- ones &* 33) & ~word
            let colon = word ^ (ones &* 58)
            let isColon = (colon &- ones) & ~colon
            let stop = (low | isColon | word) & highs
            if stop != 0 { return cursor &+ stop.trailingZeroBitCount / 8 }
            cursor &+= 8
        }
        while unsafe cursor < bytes.count && bytes[cursor] > 32 && bytes[cursor] != 58 && bytes[cursor] < 128 { cursor &+= 1 }
        return cursor
    }

    /// Where the first byte is that may not stand in a field value, looking at eight at a time.
    @inline(__always)
    static func skipValue(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int {
        var cursor = start
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        while cursor &+ 8 <= bytes.count {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: cursor, as: UInt64.self)
            // A byte below 32, or 127. Tabs stop here too and are let through below.
            let low = (word &- ones &* 32) & ~word & highs
            let delete = word ^ (ones &* 127)
            let isDelete = (delete &- ones) & ~delete & highs
            let stop = low | isDelete
            if stop != 0 {
                cursor &+= stop.trailingZeroBitCount / 8
                if unsafe bytes[cursor] != 9 { return cursor }
                cursor &+= 1
                continue
            }
            cursor &+= 8
        }
        while unsafe cursor < bytes.count && isValueByte(bytes[cursor]) { cursor &+= 1 }
        return cursor
    }

    /// RFC 9110 5.6.2 tchar.
    @inline(__always)
    static func isToken(_ byte: UInt8) -> Bool {
        // Bit n of each mask is the byte 64 * half + n.
        let low: UInt64 = 0x03FF_6CFA_0000_0000
        let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE
        guard byte < 128 else { return false }
        return ((byte < 64 ? low : high) &>> UInt64(byte & 63)) & 1 == 1
    }

    /// The same but for the one that names rarely have and that something is made of.
    @inline(__always)
    static func isTokenWithoutUnderscore(_ byte: UInt8) -> Bool {
        let low: UInt64 = 0x03FF_6CFA_0000_0000
        let high: UInt64 = 0x57FF_FFFF_47FF_FFFE
        guard byte < 128 else { return false }
        return ((byte < 64 ? low : high) &>> UInt64(byte & 63)) & 1 == 1
    }

    @inline(__always)
    static func isValueByte(_ byte: UInt8) -> Bool { byte >= 32 && byte != 127 || byte == 9 }
}

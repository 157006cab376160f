internal import Primitives
import TelemetryModel

/// Writes text into memory whose size was reckoned beforehand: one growth of the output for each line instead of one for each piece.
///
/// Each operation first holds its own largest size against the room left, so a bound reckoned too small stops the process and
/// never writes past the end. Copies move whole words and may put garbage into the `slack` behind what they write; the next
/// operation overwrites it. Lives inside one `append(atMost:)`.
@safe
struct LineWriter: ~Copyable {
    /// Bytes behind the last one that a copy may touch.
    static let slack = 16

    private var cursor: UnsafeMutableRawPointer
    private let start: UnsafeMutableRawPointer
    private let end: UnsafeMutableRawPointer

    @inline(__always)
    fileprivate init(_ start: UnsafeMutableRawPointer, room: Int) {
        unsafe self.start = start
        unsafe cursor = start
        unsafe end = start + room
    }

    @inline(__always)
    var count: Int { unsafe cursor - start }

    @inline(__always)
    private func need(_ bytes: Int) {
        unsafe precondition(bytes &+ Self.slack <= end - cursor, "the bound of the line must hold what is written")
    }

    /// Copies `pool[from..<to]`. `pool` must be readable for `slack` bytes past `to`, which its count proves.
    @inline(__always)
    mutating func constant(_ pool: UnsafeRawBufferPointer, _ from: Int, _ to: Int) {
        let count = to &- from
        need(count)
        precondition(from >= 0 && count >= 0 && to &+ Self.slack <= pool.count, "the constant must lie in the pool")
        guard let base = pool.baseAddress else { return }
        var at = 0
        while at < count {
            let first = unsafe (base + (from &+ at)).loadUnaligned(as: UInt64.self)
            let second = unsafe (base + (from &+ at &+ 8)).loadUnaligned(as: UInt64.self)
            unsafe (cursor + at).storeBytes(of: first, as: UInt64.self)
            unsafe (cursor + (at &+ 8)).storeBytes(of: second, as: UInt64.self)
            at &+= 16
        }
        unsafe cursor += count
    }

    @inline(__always)
    mutating func byte(_ byte: UInt8) {
        need(1)
        unsafe put(byte)
    }

    /// A short text that is known when this is compiled.
    @inline(__always)
    mutating func ascii(_ text: StaticString) {
        need(text.utf8CodeUnitCount)
        unsafe cursor.copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        unsafe cursor += text.utf8CodeUnitCount
    }

    /// Takes the byte written last back and writes `text` in its place.
    @inline(__always)
    mutating func replaceLast(_ text: StaticString) {
        unsafe precondition(cursor > start, "a byte must have been written")
        unsafe cursor -= 1
        ascii(text)
    }

    /// For texts that are rare or short: one byte after the other.
    mutating func utf8(_ text: String) {
        for byte in text.utf8 { self.byte(byte) }
    }

    /// Without a check: the caller has made sure of the room.
    @inline(__always)
    @unsafe
    private mutating func put(_ byte: UInt8) {
        unsafe cursor.storeBytes(of: byte, as: UInt8.self)
        unsafe cursor += 1
    }

    /// The most that `flags` writes, bytes.
    static func flagsBytesMax(isLong: Bool) -> Int {
        ResponseFlags.names.reduce(0) { $0 + (isLong ? $1.long : $1.short).utf8.count + 1 }
    }

    /// The flags' names joined by commas.
    @inline(never)
    mutating func flags(_ flags: ResponseFlags, isLong: Bool) {
        var isFirst = true
        for name in ResponseFlags.names where flags.contains(name.flag) {
            if !isFirst { byte(UInt8(ascii: ",")) }
            isFirst = false
            utf8(isLong ? name.long : name.short)
        }
    }

    // MARK: Numbers

    /// The two digits of `value`, below 100, at `offset` from the cursor; unchecked.
    @inline(__always)
    @unsafe
    private func pair(_ value: UInt64, _ offset: Int) {
        let digits: StaticString = """
            0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
            5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899
            """
        let word = unsafe UnsafeRawPointer(digits.utf8Start + Int(truncatingIfNeeded: value &* 2)).loadUnaligned(as: UInt16.self)
        unsafe (cursor + offset).storeBytes(of: word, as: UInt16.self)
    }

    @inline(never)
    mutating func decimal(_ value: UInt64) {
        need(20)
        if value < 10 {
            unsafe put(UInt8(truncatingIfNeeded: value) &+ 0x30)
        } else if value < 100 {
            unsafe pair(value, 0)
            unsafe cursor += 2
        } else if value < 1000 {
            unsafe put(UInt8(truncatingIfNeeded: value / 100) &+ 0x30)
            unsafe pair(value % 100, 0)
            unsafe cursor += 2
        } else {
            longDecimal(value)
        }
    }

    private mutating func longDecimal(_ value: UInt64) {
        var digits = 4
        var limit: UInt64 = 10_000
        while value >= limit {
            digits &+= 1
            let (next, overflow) = limit.multipliedReportingOverflow(by: 10)
            if overflow { break }
            limit = next
        }
        var at = digits
        var rest = value
        while at >= 2 {
            at &-= 2
            unsafe pair(rest % 100, at)
            rest /= 100
        }
        if at == 1 { unsafe cursor.storeBytes(of: UInt8(truncatingIfNeeded: rest) &+ 0x30, as: UInt8.self) }
        unsafe cursor += digits
    }

    /// Sixteen lower-case digits.
    @inline(never)
    mutating func hexadecimal16(_ value: UInt64) {
        need(16)
        unsafe cursor.storeBytes(of: HexCodec.encode8(UInt32(truncatingIfNeeded: value >> 32)).bigEndian, as: UInt64.self)
        unsafe (cursor + 8).storeBytes(of: HexCodec.encode8(UInt32(truncatingIfNeeded: value)).bigEndian, as: UInt64.self)
        unsafe cursor += 16
    }

    // MARK: Addresses

    static let endpointBytesMax = 47

    /// Writes an address; false when there is none, or no such part of it.
    @inline(never)
    mutating func endpoint(_ endpoint: SocketEndpoint, _ part: AccessLogOperator.Part, isJSON: Bool) -> Bool {
        if endpoint.family == .absent { return false }
        if endpoint.family == .unix {
            // As Envoy prints a pipe: its path, which has no port.
            if part == .port { return false }
            let path = unsafe endpoint.unixPath
            unsafe escaped(path, readable: path.count, isJSON: isJSON)
            return true
        }
        if part != .port {
            if endpoint.family == .ipv4 {
                ipv4(UInt32(truncatingIfNeeded: endpoint.low))
            } else {
                if part == .whole { byte(UInt8(ascii: "[")) }
                ipv6(high: endpoint.high, low: endpoint.low)
                if part == .whole { byte(UInt8(ascii: "]")) }
            }
        }
        if part == .whole { byte(UInt8(ascii: ":")) }
        if part != .withoutPort { decimal(UInt64(endpoint.port)) }
        return true
    }

    @inline(never)
    mutating func ipv4(_ address: UInt32) {
        need(15)
        var shift: UInt32 = 32
        while true {
            shift &-= 8
            let part = UInt64(address >> shift & 0xFF)
            if part < 10 {
                unsafe put(UInt8(truncatingIfNeeded: part) &+ 0x30)
            } else {
                if part >= 100 { unsafe put(UInt8(truncatingIfNeeded: part / 100) &+ 0x30) }
                unsafe pair(part % 100, 0)
                unsafe cursor += 2
            }
            if shift == 0 { return }
            unsafe put(UInt8(ascii: "."))
        }
    }

    /// The canonical form of RFC 5952 section 4: lower case, the longest run of two or more zero groups shortened.
    mutating func ipv6(high: UInt64, low: UInt64) {
        func group(_ index: Int) -> UInt64 { (index < 4 ? high : low) >> UInt64(48 - 16 * (index & 3)) & 0xFFFF }
        var best = (start: -1, count: 1)
        var index = 0
        while index < 8 {
            var end = index
            while end < 8, group(end) == 0 { end += 1 }
            if end - index > best.count { best = (index, end - index) }
            index = max(end, index + 1)
        }
        need(41)
        index = 0
        while index < 8 {
            if index == best.start {
                ascii("::")
                index += best.count
                continue
            }
            if index > 0, index != best.start + best.count || best.start < 0 { unsafe put(UInt8(ascii: ":")) }
            let value = group(index)
            var shift: UInt64 = value > 0xFFF ? 12 : value > 0xFF ? 8 : value > 0xF ? 4 : 0
            while true {
                let digit = UInt8(truncatingIfNeeded: value >> shift & 15)
                unsafe put(digit < 10 ? digit &+ 0x30 : digit &+ 0x57)
                if shift == 0 { break }
                shift &-= 4
            }
            index += 1
        }
    }

    // MARK: Time

    /// `2016-04-15T20:17:00.310Z`
    @inline(never)
    mutating func iso(_ unixNanoseconds: UInt64) {
        need(24)
        let seconds = unixNanoseconds / 1_000_000_000
        let milliseconds = (unixNanoseconds &- seconds &* 1_000_000_000) / 1_000_000
        let civil = AccessLogTime.civil(seconds)
        let year = UInt64(truncatingIfNeeded: civil.year)
        unsafe cursor.copyMemory(from: ("0000-00-00T00:00:00.000Z" as StaticString).utf8Start, byteCount: 24)
        unsafe pair(year / 100, 0)
        unsafe pair(year % 100, 2)
        unsafe pair(UInt64(truncatingIfNeeded: civil.month), 5)
        unsafe pair(UInt64(truncatingIfNeeded: civil.day), 8)
        unsafe pair(UInt64(truncatingIfNeeded: civil.hour), 11)
        unsafe pair(UInt64(truncatingIfNeeded: civil.minute), 14)
        unsafe pair(UInt64(truncatingIfNeeded: civil.second), 17)
        unsafe (cursor + 20).storeBytes(of: UInt8(truncatingIfNeeded: milliseconds / 100) &+ 0x30, as: UInt8.self)
        unsafe pair(milliseconds % 100, 21)
        unsafe cursor += 24
    }

    // MARK: Text from the network

    /// The most that `escaped` makes of one byte: `\u00XX`.
    static let escapedBytesMax = 6

    /// Bytes from the network as they are safe in a text line or inside a JSON string; `AccessLogEscapes` has the rules.
    ///
    /// `readable` bytes from the start of `text` on may be read, of which the first `text.count` are written.
    @inline(never)
    mutating func escaped(_ text: UnsafeRawBufferPointer, readable: Int, isJSON: Bool) {
        guard let base = text.baseAddress else { return }
        let count = text.count
        need(count &* Self.escapedBytesMax)
        var at = 0
        while at < count {
            let left = count &- at
            var word: UInt64
            if left >= 8 || readable &- at >= 8 {
                word = unsafe (base + at).loadUnaligned(as: UInt64.self).littleEndian
            } else {
                word = 0
                for index in 0..<left { word |= unsafe UInt64(text[at &+ index]) << UInt64(truncatingIfNeeded: 8 &* index) }
            }
            unsafe cursor.storeBytes(of: word.littleEndian, as: UInt64.self)
            // The lowest set bit is right; bits above it may be set by a borrow.
            var special = AccessLogEscapes.specials(word, isJSON: isJSON)
            if left < 8 { special &= (1 &<< UInt64(truncatingIfNeeded: 8 &* left)) &- 1 }
            if special == 0 {
                let step = left < 8 ? left : 8
                at &+= step
                unsafe cursor += step
                continue
            }
            let clean = special.trailingZeroBitCount >> 3
            at &+= clean
            unsafe cursor += clean
            at &+= unsafe isJSON ? specialJSON(text, at) : specialText(text, at)
        }
    }

    /// Writes the character at `at` and returns how many bytes of the text that was.
    @inline(never)
    private mutating func specialJSON(_ text: UnsafeRawBufferPointer, _ at: Int) -> Int {
        let byte = unsafe text[at]
        guard byte >= 0x80 else {
            escape(byte)
            return 1
        }
        let length = unsafe UTF8Text.sequenceLength(text, at)
        if length == 0 {
            ascii("\u{FFFD}")
            return 1
        }
        if unsafe length == 3 && byte == 0xE2 && text[at + 1] == 0x80 && text[at + 2] & 0xFE == 0xA8 {
            ascii("\\u202")
            unsafe self.byte(text[at + 2] & 1 == 0 ? UInt8(ascii: "8") : UInt8(ascii: "9"))
            return 3
        }
        for index in 0..<length { unsafe self.byte(text[at + index]) }
        return length
    }

    private mutating func escape(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): ascii("\\\"")
        case UInt8(ascii: "\\"): ascii("\\\\")
        case 0x08: ascii("\\b")
        case 0x09: ascii("\\t")
        case 0x0A: ascii("\\n")
        case 0x0C: ascii("\\f")
        case 0x0D: ascii("\\r")
        case 0x20...: self.byte(byte)
        default:
            ascii("\\u00")
            hexByte(byte)
        }
    }

    @inline(never)
    private mutating func specialText(_ text: UnsafeRawBufferPointer, _ at: Int) -> Int {
        let byte = unsafe text[at]
        if byte >= 0x80 {
            let length = unsafe UTF8Text.sequenceLength(text, at)
            let isControl = unsafe length == 2 && byte == 0xC2 && text[at + 1] < 0xA0
            if length > 0, !isControl {
                for index in 0..<length { unsafe self.byte(text[at + index]) }
                return length
            }
        }
        ascii("\\x")
        hexByte(byte)
        return 1
    }

    private mutating func hexByte(_ byte: UInt8) {
        func digit(_ value: UInt8) -> UInt8 { value < 10 ? value &+ 0x30 : value &+ 0x57 }
        self.byte(digit(byte >> 4))
        self.byte(digit(byte & 15))
    }
}

/// Which bytes from the network are not written as they are. In text: control characters (C1 and DEL too), `"`, `\` and bytes that are
/// not UTF-8 become `\xHH`. In JSON: RFC 8259 section 7, U+2028 and U+2029 too, and bytes that are not UTF-8 become U+FFFD.
enum AccessLogEscapes {
    @inline(__always)
    static func specials(_ word: UInt64, isJSON: Bool) -> UInt64 {
        let common = JSONScanner.specials(word)
        if isJSON { return common }
        let delete = word ^ 0x7F7F_7F7F_7F7F_7F7F
        return common | (delete &- 0x0101_0101_0101_0101) & ~delete & 0x8080_8080_8080_8080
    }
}

extension Array where Element == UInt8 {
    /// Lets `write` append at most `bytesMax` bytes, the array growing once.
    @inline(__always)
    mutating func append(atMost bytesMax: Int, _ write: (inout LineWriter) -> Void) {
        append(addingCapacity: bytesMax &+ 2 &* LineWriter.slack) { output in
            unsafe output.withUnsafeMutableBufferPointer { buffer, count in
                guard let base = buffer.baseAddress else { return }
                var writer = unsafe LineWriter(UnsafeMutableRawPointer(base), room: bytesMax &+ 2 &* LineWriter.slack)
                write(&writer)
                count = writer.count
            }
        }
    }
}

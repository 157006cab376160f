internal import Primitives

/// Istio's `meshConfig.pathNormalization` (semantics 2.8): applied once, before routing; the result is what the upstream gets.
public enum PathNormalization: UInt8, Sendable, BitwiseCopyable {
    case none
    /// Dot segments removed, `\` read as `/`, unreserved `%HH` decoded, what no path may hold encoded (RFC 3986 6.2.2; as Envoy).
    case base
    /// `base`, then runs of slashes become one.
    case mergeSlashes
    /// `%2F` and `%5C` are decoded first, then as `mergeSlashes`.
    case decodeAndMergeSlashes
}

public enum PathResult: Sendable, Equatable {
    /// The path is already in normal form; nothing was written.
    case unchanged
    /// The normal form is in the first `count` bytes of the output.
    case changed(count: Int)
    /// `%00`, or no leading slash: 400.
    case rejected
}

public enum PathNormalizer {
    /// Normalises `path` (no query) into `output`, which holds at least `growthMax * path.count` bytes. One pass; never decodes twice.
    @unsafe
    public static func normalize(
        _ path: UnsafeRawBufferPointer, mode: PathNormalization, into output: UnsafeMutablePointer<UInt8>
    ) -> PathResult {
        guard path.count > 0, unsafe path[0] == UInt8(ascii: "/") else { return .rejected }
        if unsafe hasEncodedNUL(path) { return .rejected }
        guard mode != .none, unsafe needsWork(path, mode) else { return .unchanged }
        var count = unsafe decode(path, slashes: mode == .decodeAndMergeSlashes, into: output)
        count = unsafe removeDotSegments(output, count)
        if mode != .base { count = unsafe mergeSlashes(output, count) }
        return .changed(count: count)
    }

    /// Encodes the bytes above 127 of a query as those of a path are, into `output` of `growthMax * query.count` bytes. Nil = there is
    /// nothing to encode, or the mode leaves paths as they are.
    @unsafe
    public static func encode(
        query: UnsafeRawBufferPointer, mode: PathNormalization, into output: UnsafeMutablePointer<UInt8>
    ) -> Int? {
        guard mode != .none, let first = unsafe firstHighByte(query) else { return nil }
        for index in 0..<first { unsafe output[index] = query[index] }
        var count = first
        for index in first..<query.count {
            let byte = unsafe query[index]
            if byte > 127 {
                unsafe put(escaped: byte, at: count, output)
                count += 3
            } else {
                unsafe output[count] = byte
                count += 1
            }
        }
        return count
    }

    /// The first byte above 127, looked for eight at a time.
    private static func firstHighByte(_ query: UnsafeRawBufferPointer) -> Int? {
        var position = 0
        while position + 8 <= query.count {
            let high = unsafe query.loadUnaligned(fromByteOffset: position, as: UInt64.self) & 0x8080_8080_8080_8080
            if high != 0 { return position + high.trailingZeroBitCount / 8 }
            position += 8
        }
        while position < query.count {
            if unsafe query[position] > 127 { return position }
            position += 1
        }
        return nil
    }

    private static func put(escaped byte: UInt8, at place: Int, _ output: UnsafeMutablePointer<UInt8>) {
        unsafe output[place] = UInt8(ascii: "%")
        unsafe output[place + 1] = ASCII.upperHexDigit(byte >> 4)
        unsafe output[place + 2] = ASCII.upperHexDigit(byte & 15)
    }

    /// How much longer a path may become: one byte is written as `%HH`.
    public static let growthMax = 3

    private static func hasEncodedNUL(_ path: UnsafeRawBufferPointer) -> Bool {
        guard path.count >= 3 else { return false }
        for index in 0..<path.count - 2
        where unsafe path[index] == UInt8(ascii: "%") && path[index + 1] == UInt8(ascii: "0") && path[index + 2] == UInt8(ascii: "0") {
            return true
        }
        return false
    }

    private static func needsWork(_ path: UnsafeRawBufferPointer, _ mode: PathNormalization) -> Bool {
        var previous: UInt8 = 0
        for unsafe byte in unsafe path {
            if byte == UInt8(ascii: "%") || byte == UInt8(ascii: "\\") || isForbidden(byte) { return true }
            if previous == UInt8(ascii: "/"), byte == UInt8(ascii: ".") || (mode != .base && byte == UInt8(ascii: "/")) { return true }
            previous = byte
        }
        return false
    }

    private static func decode(_ path: UnsafeRawBufferPointer, slashes: Bool, into output: UnsafeMutablePointer<UInt8>) -> Int {
        var count = 0
        var index = 0
        // Where the last `%` that begins no escape was written. When what is decoded behind it would make it one (`%%34%31` = `%41`), the
        // next reader would decode a second time, so it is written as `%25`; the decoded digit has left the room for that.
        var loosePercent = -1
        while index < path.count {
            if loosePercent >= 0, count == loosePercent + 3 {
                if unsafe ASCII.hexValue(output[loosePercent + 1]) < 16 && ASCII.hexValue(output[loosePercent + 2]) < 16 {
                    count = unsafe escapePercent(at: loosePercent, output)
                }
                loosePercent = -1
            }
            var byte = unsafe path[index]
            if byte == UInt8(ascii: "%"), index + 2 < path.count {
                let high = unsafe ASCII.hexValue(path[index + 1])
                let low = unsafe ASCII.hexValue(path[index + 2])
                if high < 16, low < 16 {
                    let decoded = high << 4 | low
                    if isUnreserved(decoded) || (slashes && (decoded == UInt8(ascii: "/") || decoded == UInt8(ascii: "\\"))) {
                        unsafe output[count] = decoded == UInt8(ascii: "\\") ? UInt8(ascii: "/") : decoded
                        count += 1
                        index += 3
                        continue
                    }
                    // Kept encoded, and copied whole so that its digits are not read again.
                    for offset in 0..<3 { unsafe output[count + offset] = path[index + offset] }
                    count += 3
                    index += 3
                    continue
                }
            }
            if byte == UInt8(ascii: "\\") { byte = UInt8(ascii: "/") }
            if isForbidden(byte) {
                unsafe put(escaped: byte, at: count, output)
                count += 3
                index += 1
                continue
            }
            if byte == UInt8(ascii: "%") { loosePercent = count }
            unsafe output[count] = byte
            count += 1
            index += 1
        }
        if loosePercent >= 0, count == loosePercent + 3, unsafe ASCII.hexValue(output[loosePercent + 1]) < 16,
            unsafe ASCII.hexValue(output[loosePercent + 2]) < 16
        {
            count = unsafe escapePercent(at: loosePercent, output)
        }
        return count
    }

    /// Turns the `%` in front of the last two bytes into `%25`; returns the new count.
    private static func escapePercent(at place: Int, _ output: UnsafeMutablePointer<UInt8>) -> Int {
        unsafe output[place + 4] = output[place + 2]
        unsafe output[place + 3] = output[place + 1]
        unsafe output[place + 1] = UInt8(ascii: "2")
        unsafe output[place + 2] = UInt8(ascii: "5")
        return place + 5
    }

    /// RFC 3986 5.2.4, in place: `.` disappears, `..` takes the segment before it, and neither climbs above the root.
    private static func removeDotSegments(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        var written = 0
        var read = 0
        while read < count {
            // bytes[read] is the slash in front of a segment.
            var end = read + 1
            while end < count, unsafe bytes[end] != UInt8(ascii: "/") { end += 1 }
            let segment = end - read - 1
            let isDot = unsafe segment == 1 && bytes[read + 1] == UInt8(ascii: ".")
            let isDotDot = unsafe segment == 2 && bytes[read + 1] == UInt8(ascii: ".") && bytes[read + 2] == UInt8(ascii: ".")
            if isDot || isDotDot {
                if isDotDot {
                    while written > 0, unsafe bytes[written - 1] != UInt8(ascii: "/") { written -= 1 }
                    if written > 0 { written -= 1 }
                }
                // A dot segment at the end leaves its slash.
                if end == count {
                    unsafe bytes[written] = UInt8(ascii: "/")
                    written += 1
                }
            } else {
                for offset in 0...segment { unsafe bytes[written + offset] = bytes[read + offset] }
                written += segment + 1
            }
            read = end
        }
        return written
    }

    private static func mergeSlashes(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        var written = 0
        for index in 0..<count {
            let byte = unsafe bytes[index]
            if byte == UInt8(ascii: "/"), written > 0, unsafe bytes[written - 1] == UInt8(ascii: "/") { continue }
            unsafe bytes[written] = byte
            written += 1
        }
        return written
    }

    /// Neither unreserved, nor a delimiter, nor `%` (RFC 3986 3.3), yet sent by clients; `\` stands for the slash before.
    private static func isForbidden(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "^"), UInt8(ascii: "`"),
            UInt8(ascii: "{"), UInt8(ascii: "|"),
            UInt8(ascii: "}"), 128...255:
            true
        default: false
        }
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
            true
        default: false
        }
    }
}

internal import Glibc
internal import Primitives

/// What looking for a head came to.
public enum HeadResult: Sendable, Equatable {
    /// Its end has not arrived; call again with more bytes behind the same ones.
    case incomplete
    /// The head is parsed; `MessageHead.byteCount` says how long it was.
    case complete
    case failed(HeadError)
}

/// How far the search for the end of a head has come.
public struct HeadScan: Sendable, BitwiseCopyable {
    /// No line feed stands before this offset that has not been looked at.
    var position = 0
    var hasFirstLine = false

    public init() {}
}

/// Parses heads. Pure functions of the bytes; linear in their number however they arrive.
public enum HeadParser {
    /// Parses a request head at the start of `bytes`.
    ///
    /// `scan` is new for a new message and is carried from call to call while the result is `.incomplete`, so that no byte is searched
    /// twice. Most heads come whole and are read in one pass; only one that is not taken so is searched for its end first.
    @unsafe
    public static func parseRequest(
        _ bytes: UnsafeRawBufferPointer, scan: inout HeadScan, limits: borrowing HTTPLimits, into head: inout MessageHead
    ) -> HeadResult {
        // RFC 9112 2.2: an empty line before a request is ignored; two are generous.
        var start = 0
        while start < 4, unsafe start + 1 < bytes.count && bytes[start] == 13 && bytes[start + 1] == 10 { start += 2 }
        if unsafe start < 4 && start < bytes.count && bytes[start] == 13 && start + 1 == bytes.count { return .incomplete }
        let bytesMax = limits.headBytesMax
        if scan.position == 0, unsafe takeRequest(bytes, from: start, limits, &head) == nil, head.byteCount &- start <= bytesMax {
            return finish(request: &head, limits)
        }
        let end: Int
        switch unsafe findEnd(bytes, from: start, scan: &scan, limits: limits, lineBytesMax: limits.targetBytesMax + lineBytesMin) {
        case .found(let position): end = position
        case .notYet: return .incomplete
        case .bad(let error): return .failed(error)
        }
        if let error = unsafe takeRequest(UnsafeRawBufferPointer(rebasing: bytes[..<end]), from: start, limits, &head) {
            return .failed(error)
        }
        return finish(request: &head, limits)
    }

    /// What a request's line has besides its target, at most: more than any method that is known.
    private static let lineBytesMin = 64

    /// The lines of a request's head, which begins at `start`. As long as `scan` is new, no more of the head may be there: an error means
    /// that `findEnd` is to be asked first, whose bounds come before everything else.
    private static func takeRequest(
        _ bytes: UnsafeRawBufferPointer, from start: Int, _ limits: borrowing HTTPLimits, _ head: inout MessageHead
    ) -> HeadError? {
        unsafe head.begin(bytes)
        var cursor = start
        if let error = unsafe requestLine(bytes, &cursor, limits, &head) { return error }
        return unsafe fields(bytes, from: cursor, limits, &head)
    }

    private static func finish(request head: inout MessageHead, _ limits: borrowing HTTPLimits) -> HeadResult {
        if let error = framing(&head) { return .failed(error) }
        if let error = host(&head, limits) { return .failed(error) }
        return .complete
    }

    /// Parses a response head at the start of `bytes`; see `parseRequest`.
    @unsafe
    public static func parseResponse(
        _ bytes: UnsafeRawBufferPointer, scan: inout HeadScan, limits: borrowing HTTPLimits, into head: inout MessageHead
    ) -> HeadResult {
        let bytesMax = limits.headBytesMax
        let isWhole = unsafe scan.position == 0 ? takeResponse(bytes, limits, &head) == nil : false
        if !isWhole || head.byteCount > bytesMax {
            let end: Int
            switch unsafe findEnd(bytes, from: 0, scan: &scan, limits: limits, lineBytesMax: .max) {
            case .found(let position): end = position
            case .notYet: return .incomplete
            case .bad(.malformedRequestLine): return .failed(.malformedStatusLine)
            case .bad(let error): return .failed(error)
            }
            if let error = unsafe takeResponse(UnsafeRawBufferPointer(rebasing: bytes[..<end]), limits, &head) { return .failed(error) }
        }
        if let error = framing(&head) { return .failed(error) }
        return .complete
    }

    private static func takeResponse(
        _ bytes: UnsafeRawBufferPointer, _ limits: borrowing HTTPLimits, _ head: inout MessageHead
    ) -> HeadError? {
        unsafe head.begin(bytes)
        var cursor = 0
        if let error = unsafe statusLine(bytes, &cursor, &head) { return error }
        return unsafe fields(bytes, from: cursor, limits, &head)
    }

    /// Parses a trailer section (fields and an empty line, RFC 9112 7.1.2) at the start of `bytes`.
    @unsafe
    public static func parseTrailers(
        _ bytes: UnsafeRawBufferPointer, scan: inout HeadScan, limits: borrowing HTTPLimits, into head: inout MessageHead
    ) -> HeadResult {
        if bytes.count >= 2, unsafe bytes[0] == 13 && bytes[1] == 10 {
            unsafe head.begin(bytes)
            head.byteCount = 2
            return .complete
        }
        var trailerLimits = copy limits
        trailerLimits.headBytesMax = limits.trailerBytesMax
        let end: Int
        switch unsafe findEnd(bytes, from: 0, scan: &scan, limits: trailerLimits, lineBytesMax: .max) {
        case .found(let position): end = position
        case .notYet: return .incomplete
        case .bad(let error): return .failed(error)
        }
        unsafe head.begin(bytes)
        if let error = unsafe fields(UnsafeRawBufferPointer(rebasing: bytes[..<end]), from: 0, limits, &head) { return .failed(error) }
        return .complete
    }

    // MARK: The end of the head

    private enum End {
        case found(Int)
        case notYet
        case bad(HeadError)
    }

    /// Finds the first empty line, looking at each line feed once. A line feed without its carriage return is refused as soon as it is
    /// seen.
    private static func findEnd(
        _ bytes: UnsafeRawBufferPointer, from start: Int, scan: inout HeadScan, limits: HTTPLimits, lineBytesMax: Int
    ) -> End {
        // Places in `bytes`: none of the sums below overflows.
        var position = max(scan.position, start)
        while let feed = unsafe bytes.firstIndex(of: 10, from: position) {
            // The bounds come first, so that the verdict does not depend on the pieces the bytes arrive in.
            let count = feed &- start
            if !scan.hasFirstLine, count > lineBytesMax { return .bad(.targetTooLong) }
            if count >= limits.headBytesMax { return .bad(.headTooLarge) }
            if unsafe count == 0 || bytes[feed &- 1] != 13 { return .bad(.bareLineFeed) }
            if count == 1 { return .bad(.malformedRequestLine) }
            // The line that ends here is empty when the one before it ended just in front of its CR.
            if unsafe count >= 3 && bytes[feed &- 2] == 10 { return .found(feed &+ 1) }
            scan.hasFirstLine = true
            position = feed &+ 1
        }
        if !scan.hasFirstLine, bytes.count - start > lineBytesMax { return .bad(.targetTooLong) }
        if bytes.count - start > limits.headBytesMax { return .bad(.headTooLarge) }
        scan.position = bytes.count
        return .notYet
    }

    // MARK: Lines

    private static func requestLine(
        _ bytes: UnsafeRawBufferPointer, _ cursor: inout Int, _ limits: borrowing HTTPLimits, _ head: inout MessageHead
    ) -> HeadError? {
        let start = cursor
        head.methodStart = start
        unsafe cursor = HeadBytes.skipMethod(bytes, start)
        head.methodCount = cursor &- start
        guard head.methodCount > 0, unsafe cursor < bytes.count && bytes[cursor] == 32 else { return .malformedRequestLine }
        cursor &+= 1
        head.targetStart = cursor
        unsafe cursor = HeadBytes.skipTarget(bytes, cursor)
        head.targetCount = cursor &- head.targetStart
        guard head.targetCount > 0, unsafe cursor < bytes.count && bytes[cursor] == 32 else { return .malformedRequestLine }
        // Behind the target stand a space, the version and the line's end.
        let targetMax = limits.targetBytesMax
        if head.targetCount > targetMax || cursor &- start &+ 10 > targetMax &+ lineBytesMin { return .targetTooLong }
        cursor &+= 1
        guard let minor = unsafe version(bytes, &cursor) else {
            return unsafe looksLikeVersion(bytes, cursor) ? .unsupportedVersion : .malformedRequestLine
        }
        head.minorVersion = minor
        guard unsafe HeadBytes.isLineEnd(bytes, cursor) else { return .malformedRequestLine }
        cursor &+= 2
        return nil
    }

    private static func statusLine(_ bytes: UnsafeRawBufferPointer, _ cursor: inout Int, _ head: inout MessageHead) -> HeadError? {
        guard let minor = unsafe version(bytes, &cursor) else { return .malformedStatusLine }
        head.minorVersion = minor
        guard cursor + 6 <= bytes.count, unsafe bytes[cursor] == 32 else { return .malformedStatusLine }
        var status: UInt16 = 0
        for offset in 1...3 {
            let digit = unsafe bytes[cursor + offset] &- 48
            guard digit < 10 else { return .malformedStatusLine }
            status = status * 10 + UInt16(digit)
        }
        guard status >= 100 else { return .malformedStatusLine }
        head.statusCode = status
        cursor += 4
        // The space before an empty reason is required by the RFC and left out by many servers.
        if unsafe bytes[cursor] == 32 { cursor += 1 }
        head.reasonStart = cursor
        unsafe cursor = HeadBytes.skipValue(bytes, cursor)
        head.reasonCount = cursor &- head.reasonStart
        guard unsafe HeadBytes.isLineEnd(bytes, cursor) else { return .malformedStatusLine }
        if head.reasonCount > 0, unsafe bytes[head.reasonStart - 1] != 32 { return .malformedStatusLine }
        cursor += 2
        return nil
    }

    /// `HTTP/1.` and a 0 or 1, as one word.
    @inline(__always)
    private static func version(_ bytes: UnsafeRawBufferPointer, _ cursor: inout Int) -> UInt8? {
        guard cursor + 8 <= bytes.count else { return nil }
        // The last digit is the word's last byte; 1.0 and 1.1 differ in its lowest bit.
        let word = unsafe UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: cursor, as: UInt64.self))
        guard word | 1 == 0x4854_5450_2F31_2E31 else { return nil }
        cursor += 8
        return UInt8(truncatingIfNeeded: word & 1)
    }

    private static func looksLikeVersion(_ bytes: UnsafeRawBufferPointer, _ cursor: Int) -> Bool {
        guard cursor + 10 <= bytes.count, unsafe ASCII.equal(UnsafeRawBufferPointer(rebasing: bytes[cursor..<cursor + 5]), "HTTP/") else {
            return false
        }
        return unsafe bytes[cursor + 5] &- 48 < 10 && bytes[cursor + 6] == 46 && bytes[cursor + 7] &- 48 < 10 && bytes[cursor + 8] == 13
    }

    /// The field lines from `start` on, to the empty line behind them, which may be anywhere in `bytes` or not be there.
    private static func fields(
        _ bytes: UnsafeRawBufferPointer, from start: Int, _ limits: borrowing HTTPLimits, _ head: inout MessageHead
    ) -> HeadError? {
        // No place in `bytes` overflows.
        let end = bytes.count
        let countMax = min(limits.fieldCountMax, HTTPLimits.fieldSlots)
        var cursor = start
        var count = 0
        defer { head.fieldCount = count }
        while unsafe !HeadBytes.isLineEnd(bytes, cursor) {
            if count >= countMax { return .tooManyFields }
            var field = HeaderField()
            let nameStart = cursor
            unsafe cursor = HeadBytes.skipName(bytes, cursor)
            let nameCount = cursor &- nameStart
            guard nameCount > 0, cursor < end, unsafe bytes[cursor] == 58 else {
                let isFolded = unsafe nameCount == 0 && cursor < end && (bytes[cursor] == 32 || bytes[cursor] == 9)
                return isFolded ? .foldedLine : .malformedFieldName
            }
            let name = unsafe UnsafeRawBufferPointer(start: bytes.baseAddress.unsafelyUnwrapped + nameStart, count: nameCount)
            field.name = unsafe HeaderName.lookup(name)
            // The names known whole are of token characters.
            if field.name == .other || field.name == .envoyOther {
                for unsafe byte in unsafe name where !HeadBytes.isTokenWithoutUnderscore(byte) {
                    guard byte == UInt8(ascii: "_") else { return .malformedFieldName }
                    field.hasUnderscore = true
                    head.hasUnderscores = true
                }
            }
            // Only a head limit beyond the default lets a name be longer than its count can say.
            guard nameCount <= Int(UInt16.max) else { return .headTooLarge }
            cursor &+= 1
            while unsafe cursor < end && (bytes[cursor] == 32 || bytes[cursor] == 9) { cursor &+= 1 }
            let valueStart = cursor
            unsafe cursor = HeadBytes.skipValue(bytes, cursor)
            guard unsafe HeadBytes.isLineEnd(bytes, cursor) else {
                return unsafe cursor < end && bytes[cursor] == 13 ? .bareCarriageReturn : .forbiddenByteInValue
            }
            var valueEnd = cursor
            while valueEnd > valueStart, unsafe bytes[valueEnd &- 1] == 32 || bytes[valueEnd &- 1] == 9 { valueEnd &-= 1 }
            cursor &+= 2
            field.nameStart = UInt32(truncatingIfNeeded: nameStart)
            field.nameCount = UInt16(truncatingIfNeeded: nameCount)
            field.valueStart = UInt32(truncatingIfNeeded: valueStart)
            field.valueCount = UInt32(truncatingIfNeeded: valueEnd &- valueStart)
            field.isCanonical = unsafe valueStart == nameStart &+ nameCount &+ 2 && bytes[valueStart &- 1] == 32 && cursor == valueEnd &+ 2
            unsafe head.table[count] = field
            if field.name != .other { head.noteFirst(field.name, count) }
            count &+= 1
        }
        head.byteCount = cursor &+ 2
        return nil
    }

    // MARK: Meaning

    /// Reads what frames the body and the connection's fate, refusing everything ambiguous (RFC 9112 6.1, 6.3).
    private static func framing(_ head: inout MessageHead) -> HeadError? {
        if let first = head.index(of: .contentLength) {
            for index in first + 1..<max(first + 1, head.fieldCount) where unsafe head.field(index).name == .contentLength {
                return .repeatedContentLength
            }
            guard let length = unsafe ASCII.decimal(head.value(at: first)), length <= UInt64(Int64.max) else {
                return .malformedContentLength
            }
            head.contentLength = length
        }
        if let first = head.index(of: .transferEncoding) {
            if head.contentLength != nil { return .lengthAndTransferEncoding }
            if head.minorVersion == 0 { return .transferEncodingInHTTP10 }
            for index in first + 1..<max(first + 1, head.fieldCount) where unsafe head.field(index).name == .transferEncoding {
                return .malformedTransferEncoding
            }
            let value = unsafe head.value(at: first)
            guard unsafe ASCII.equal(value, ignoringCase: "chunked") else {
                return unsafe isKnownCodingThenChunked(value) ? .unsupportedTransferEncoding : .malformedTransferEncoding
            }
            head.isChunked = true
        }
        if let first = head.index(of: .connection) {
            for index in first..<head.fieldCount where unsafe head.field(index).name == .connection {
                unsafe readConnectionOptions(head.value(at: index), &head)
            }
        }
        return nil
    }

    /// `gzip, chunked` and the like: well-formed, and not implemented (RFC 9112 6.1: 501).
    private static func isKnownCodingThenChunked(_ value: UnsafeRawBufferPointer) -> Bool {
        var sawOther = false
        var lastIsChunked = false
        var wellFormed = true
        unsafe forEachListItem(value) { item in
            if lastIsChunked { wellFormed = false }
            lastIsChunked = unsafe ASCII.equal(item, ignoringCase: "chunked")
            if !lastIsChunked {
                sawOther = true
                let isKnown = unsafe ASCII.equal(item, ignoringCase: "gzip") || ASCII.equal(item, ignoringCase: "deflate")
                    || ASCII.equal(item, ignoringCase: "compress")
                if !isKnown { wellFormed = false }
            }
        }
        return wellFormed && sawOther && lastIsChunked
    }

    private static func readConnectionOptions(_ value: UnsafeRawBufferPointer, _ head: inout MessageHead) {
        var options = head.connection
        unsafe forEachListItem(value) { item in
            if unsafe ASCII.equal(item, ignoringCase: "close") {
                options.insert(.close)
            } else if unsafe ASCII.equal(item, ignoringCase: "keep-alive") {
                options.insert(.keepAlive)
            } else if unsafe ASCII.equal(item, ignoringCase: "upgrade") {
                options.insert(.upgrade)
            } else {
                options.insert(.namesOthers)
            }
        }
        head.connection = options
    }

    /// Calls `body` with each non-empty item of a comma-separated list, without white space around it.
    @unsafe
    public static func forEachListItem(_ value: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
        var start = 0
        while start <= value.count {
            var end = start
            while end < value.count, unsafe value[end] != 44 { end += 1 }
            var first = start
            var last = end
            while first < last, unsafe value[first] == 32 || value[first] == 9 { first += 1 }
            while last > first, unsafe value[last - 1] == 32 || value[last - 1] == 9 { last -= 1 }
            if last > first { unsafe body(UnsafeRawBufferPointer(rebasing: value[first..<last])) }
            start = end + 1
        }
    }

    private static func host(_ head: inout MessageHead, _ limits: borrowing HTTPLimits) -> HeadError? {
        guard let first = head.index(of: .host) else { return head.minorVersion == 1 ? .missingHost : nil }
        for index in first + 1..<max(first + 1, head.fieldCount) where unsafe head.field(index).name == .host {
            return .repeatedHost
        }
        // An empty one says that the target has no authority (RFC 9112 3.2).
        let value = unsafe head.value(at: first)
        if value.count == 0 { return nil }
        if let authority = unsafe Authority.parse(value) {
            head.host = authority
            return nil
        }
        return unsafe limits.takesClusterNames && isClusterName(value) ? nil : .malformedHost
    }

    /// `outbound|9411||zipkin.tracing.svc.cluster.local`: what Istio calls a cluster, and Envoy's tracers say as `Host`.
    private static func isClusterName(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard unsafe bytes.count <= Authority.hostBytesMax && bytes.contains(UInt8(ascii: "|")) else { return false }
        return unsafe bytes.allSatisfy { HeadBytes.isToken($0) || $0 == UInt8(ascii: ":") }
    }
}

extension UnsafeRawBufferPointer {
    /// The first position at or after `start` that holds `byte`, by the C library's vectorised search.
    @inline(__always)
    func firstIndex(of byte: UInt8, from start: Int) -> Int? {
        guard start < count, let base = baseAddress else { return nil }
        guard let found = unsafe memchr(base + start, Int32(byte), count - start) else { return nil }
        return unsafe UnsafeRawPointer(found) - base
    }
}

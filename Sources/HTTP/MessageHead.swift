public import Primitives

/// One field line of a head: offsets into the bytes that were parsed.
public struct HeaderField: BitwiseCopyable, Sendable {
    public var nameStart: UInt32 = 0
    public var valueStart: UInt32 = 0
    public var valueCount: UInt32 = 0
    public var nameCount: UInt16 = 0
    public var name = HeaderName.other
    /// Written as `Name: value` with exactly that one space, so that the whole line can be passed on as it is.
    public var isCanonical = false
    /// The name has an underscore; of names that are none of `HeaderName`'s own.
    public var hasUnderscore = false
    /// The name has no capital letter, as in HTTP/2.
    public var isLowercase = false

    @inlinable public init() {}
}

/// What is known of a head besides its bytes and fields.
@usableFromInline
struct HeadFacts {
    /// First field of each known name; index = `HeaderName.rawValue`, 255 = not present.
    @usableFromInline var firstIndex = InlineArray<38, UInt8>(repeating: 255)
    @usableFromInline var minorVersion: UInt8 = 1
    @usableFromInline var statusCode: UInt16 = 0
    @usableFromInline var isChunked = false
    @usableFromInline var isHTTPS = false
    @usableFromInline var hasUnderscores = false
    var isTooLarge = false
    @usableFromInline var connection: ConnectionOptions = []
    @usableFromInline var fieldCount = 0
    @usableFromInline var byteCount = 0
    @usableFromInline var methodStart = 0
    @usableFromInline var methodCount = 0
    @usableFromInline var targetStart = 0
    @usableFromInline var targetCount = 0
    @usableFromInline var reasonStart = 0
    @usableFromInline var reasonCount = 0
    @usableFromInline var contentLength: UInt64?
    @usableFromInline var authority = 0..<0
    @usableFromInline var host = Authority(hostCount: 0, port: 0, count: 0)
    /// What is sent in place of the target and the host that came.
    var sentTarget = 0..<0
    var sentAuthority = 0..<0

    @usableFromInline init() {}
}

/// What a `MessageHead` holds, at an address of its own.
@safe @usableFromInline
struct HeadParts: ~Copyable {
    @usableFromInline var bytes = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    @usableFromInline var facts = HeadFacts()
    /// The bytes of a head that is kept (`keep`), and behind them those of our own fields.
    @usableFromInline var text = ByteBuffer()
    /// Places for fields in the table.
    @usableFromInline var slots = 0

    init() {}

    /// Bytes that the head's places lie in. Mutating: of parts that are only read, the compiler makes a copy first.
    var extent: Int {
        mutating get {
            unsafe text.count > 0 && bytes.baseAddress == text.readable.baseAddress ? text.count : min(facts.byteCount, bytes.count)
        }
    }
}

/// A request or response head in its structure: fields by index, known names as numbers. Reused from message to message. Two pointers, so
/// that lending it copies no more.
///
/// What a parser fills points into the bytes that the parser was given, and lives as long as those. A head that is kept beyond them
/// (`keep`) has them to itself and can be edited (`HeadEditing`); it is written once, in the version it leaves in (`HeadWriting`).
@safe
public struct MessageHead: ~Copyable {
    @usableFromInline let parts: UnsafeMutablePointer<HeadParts>
    @usableFromInline var table: UnsafeMutablePointer<HeaderField>

    /// `slots`: fields that it has room for at first; a parser needs `HTTPLimits.fieldSlots`.
    public init(slots: Int = HTTPLimits.fieldSlots) {
        unsafe parts = .allocate(capacity: 1)
        unsafe parts.initialize(to: HeadParts())
        unsafe table = .allocate(capacity: slots)
        unsafe table.initialize(repeating: HeaderField(), count: slots)
        unsafe parts.pointee.slots = slots
        unsafe precondition(parts.pointee.facts.firstIndex.count == HeaderName.count, "the table has a place for every name")
    }

    deinit {
        unsafe parts.deinitialize(count: 1)
        unsafe parts.deallocate()
        unsafe table.deallocate()
    }

    mutating func begin(_ bytes: UnsafeRawBufferPointer) {
        unsafe parts.pointee.bytes = unsafe bytes
        unsafe parts.pointee.facts.firstIndex = InlineArray(repeating: 255)
        fieldCount = 0
        contentLength = nil
        isChunked = false
        connection = []
        statusCode = 0
        authority = 0..<0
        host = Authority(hostCount: 0, port: 0, count: 0)
        methodCount = 0
        targetCount = 0
        isHTTPS = false
        hasUnderscores = false
        isTooLarge = false
    }

    @inlinable public internal(set) var fieldCount: Int {
        get { unsafe parts.pointee.facts.fieldCount }
        set { unsafe parts.pointee.facts.fieldCount = newValue }
    }

    /// Minor version of HTTP/1: 0 or 1.
    @inlinable public internal(set) var minorVersion: UInt8 {
        get { unsafe parts.pointee.facts.minorVersion }
        set { unsafe parts.pointee.facts.minorVersion = newValue }
    }

    /// Bytes of the whole head, with its last empty line (and any empty lines skipped before a request).
    @inlinable public internal(set) var byteCount: Int {
        get { unsafe parts.pointee.facts.byteCount }
        set { unsafe parts.pointee.facts.byteCount = newValue }
    }

    var methodStart: Int {
        get { unsafe parts.pointee.facts.methodStart }
        set { unsafe parts.pointee.facts.methodStart = newValue }
    }

    var methodCount: Int {
        get { unsafe parts.pointee.facts.methodCount }
        set { unsafe parts.pointee.facts.methodCount = newValue }
    }

    var targetStart: Int {
        get { unsafe parts.pointee.facts.targetStart }
        set { unsafe parts.pointee.facts.targetStart = newValue }
    }

    public internal(set) var targetCount: Int {
        get { unsafe parts.pointee.facts.targetCount }
        set { unsafe parts.pointee.facts.targetCount = newValue }
    }

    /// Response only: 100...999.
    @inlinable public internal(set) var statusCode: UInt16 {
        get { unsafe parts.pointee.facts.statusCode }
        set { unsafe parts.pointee.facts.statusCode = newValue }
    }

    var reasonStart: Int {
        get { unsafe parts.pointee.facts.reasonStart }
        set { unsafe parts.pointee.facts.reasonStart = newValue }
    }

    var reasonCount: Int {
        get { unsafe parts.pointee.facts.reasonCount }
        set { unsafe parts.pointee.facts.reasonCount = newValue }
    }

    /// What `Content-Length` said, when there was one.
    @inlinable public internal(set) var contentLength: UInt64? {
        get { unsafe parts.pointee.facts.contentLength }
        set { unsafe parts.pointee.facts.contentLength = newValue }
    }

    /// Whether `Transfer-Encoding: chunked` frames the body.
    @inlinable public internal(set) var isChunked: Bool {
        get { unsafe parts.pointee.facts.isChunked }
        set { unsafe parts.pointee.facts.isChunked = newValue }
    }

    /// HTTP/2 only: `:authority`; empty when there was none.
    @inlinable public internal(set) var authority: Range<Int> {
        get { unsafe parts.pointee.facts.authority }
        set { unsafe parts.pointee.facts.authority = newValue }
    }

    /// HTTP/1 request only: what `Host` names; `count` is 0 without one and for an empty one.
    @inlinable public internal(set) var host: Authority {
        get { unsafe parts.pointee.facts.host }
        set { unsafe parts.pointee.facts.host = newValue }
    }

    /// HTTP/2 only: `:scheme` is https.
    @inlinable public internal(set) var isHTTPS: Bool {
        get { unsafe parts.pointee.facts.isHTTPS }
        set { unsafe parts.pointee.facts.isHTTPS = newValue }
    }

    /// A field's name has an underscore.
    @inlinable public internal(set) var hasUnderscores: Bool {
        get { unsafe parts.pointee.facts.hasUnderscores }
        set { unsafe parts.pointee.facts.hasUnderscores = newValue }
    }

    /// `Connection` options, joined over all its lines.
    @inlinable public internal(set) var connection: ConnectionOptions {
        get { unsafe parts.pointee.facts.connection }
        set { unsafe parts.pointee.facts.connection = newValue }
    }

    /// HTTP/2 only: the bytes of `:authority`.
    @unsafe var authorityBytes: UnsafeRawBufferPointer { unsafe slice(authority.lowerBound, authority.count) }

    /// Takes over a section that arrived by HTTP/2, in the form of an HTTP/1.1 head. Its bytes stay in the inbox, until that is cleared.
    @unsafe
    public mutating func load(_ section: HeadSection, from inbox: inout HTTPInbox) {
        let block = inbox.blocks[Int(section.place)]
        let all = unsafe inbox.bytes.readable
        let start = Int(block.bytesStart)
        unsafe begin(UnsafeRawBufferPointer(rebasing: all[start..<start + Int(block.bytesCount)]))
        minorVersion = 1
        byteCount = Int(block.byteCount)
        statusCode = block.status
        methodStart = Int(block.method.start)
        methodCount = Int(block.method.count)
        targetStart = Int(block.path.start)
        targetCount = Int(block.path.count)
        reasonCount = 0
        reasonStart = 0
        authority = block.authority.isThere ? Int(block.authority.start)..<Int(block.authority.start + block.authority.count) : 0..<0
        isHTTPS = unsafe block.scheme.isThere && ASCII.equal(slice(Int(block.scheme.start), Int(block.scheme.count)), "https")
        fieldCount = Int(block.fieldCount)
        for index in 0..<fieldCount {
            let field = inbox.fields[Int(block.fieldStart) + index]
            unsafe table[index] = field
            if field.hasUnderscore { hasUnderscores = true }
            if field.name != .other { noteFirst(field.name, index) }
        }
        // nghttp2 has seen to it that it is one decimal number.
        if let length = unsafe value(of: .contentLength) { contentLength = unsafe ASCII.decimal(length) }
    }

    @unsafe @inlinable
    func field(_ index: Int) -> HeaderField {
        unsafe precondition(index >= 0 && index < parts.pointee.slots)
        return unsafe table[index]
    }

    /// A field of a known name stands at `index`, behind all that stand there already.
    @inlinable @inline(__always)
    func noteFirst(_ name: HeaderName, _ index: Int) {
        let slot = Int(name.rawValue)
        if unsafe parts.pointee.facts.firstIndex[slot] == 255 {
            unsafe parts.pointee.facts.firstIndex[slot] = UInt8(truncatingIfNeeded: index)
        }
    }

    /// The index of the first field with a known name, or nil.
    @inlinable
    public func index(of name: HeaderName) -> Int? {
        let index = unsafe parts.pointee.facts.firstIndex[Int(name.rawValue)]
        return index == 255 ? nil : Int(index)
    }

    @inlinable
    public func has(_ name: HeaderName) -> Bool { unsafe parts.pointee.facts.firstIndex[Int(name.rawValue)] != 255 }

    /// Whether a known field comes in more than one line.
    public func isRepeated(_ name: HeaderName) -> Bool {
        guard let first = index(of: name) else { return false }
        for index in first + 1..<max(first + 1, fieldCount) where unsafe field(index).name == name { return true }
        return false
    }

    /// The first value of a known field, without surrounding white space.
    @unsafe @inlinable
    func value(of name: HeaderName) -> UnsafeRawBufferPointer? {
        guard let index = index(of: name) else { return nil }
        return unsafe value(at: index)
    }

    @unsafe @inlinable
    func value(at index: Int) -> UnsafeRawBufferPointer {
        let field = unsafe field(index)
        return unsafe slice(Int(field.valueStart), Int(field.valueCount))
    }

    @unsafe @inlinable
    func name(at index: Int) -> UnsafeRawBufferPointer {
        let field = unsafe field(index)
        return unsafe slice(Int(field.nameStart), Int(field.nameCount))
    }

    /// The whole line of a canonical field, its CR LF included.
    @unsafe @inlinable
    func line(at index: Int) -> UnsafeRawBufferPointer {
        let field = unsafe field(index)
        return unsafe slice(Int(field.nameStart), Int(field.nameCount) + 2 + Int(field.valueCount) + 2)
    }

    /// The first value of the field called `name` (lower-case), searched linearly.
    @unsafe
    func value(named name: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        for index in 0..<fieldCount where unsafe ASCII.equalIgnoringCase(self.name(at: index), name) {
            return unsafe value(at: index)
        }
        return nil
    }

    /// As `value(named:)`; `name` is in lower case.
    @unsafe
    func value(named name: StaticString) -> UnsafeRawBufferPointer? {
        unsafe value(named: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }

    /// Request only.
    @unsafe var method: UnsafeRawBufferPointer { unsafe slice(methodStart, methodCount) }
    /// Request only: the target exactly as sent.
    @unsafe var target: UnsafeRawBufferPointer { unsafe slice(targetStart, targetCount) }
    /// Response only: the reason phrase exactly as sent; may be empty.
    @unsafe var reason: UnsafeRawBufferPointer { unsafe slice(reasonStart, reasonCount) }

    /// Bytes of the head, in whose extent the whole place lies.
    @unsafe @inlinable
    func slice(_ start: Int, _ count: Int) -> UnsafeRawBufferPointer {
        guard let base = unsafe parts.pointee.bytes.baseAddress else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
        unsafe assert(start >= 0 && count >= 0 && start + count <= parts.pointee.bytes.count, "a place outside of the head")
        return unsafe UnsafeRawBufferPointer(start: base + start, count: count)
    }

    /// Whether the sender wants the connection kept after this message (RFC 9112 9.3).
    public var keepsAlive: Bool {
        if connection.contains(.close) { return false }
        return minorVersion == 1 || connection.contains(.keepAlive)
    }
}

/// The options of a `Connection` field that HTTP/1.1 itself defines, plus a mark for any others.
public struct ConnectionOptions: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let close = ConnectionOptions(rawValue: 1)
    public static let keepAlive = ConnectionOptions(rawValue: 2)
    public static let upgrade = ConnectionOptions(rawValue: 4)
    /// Names further fields of this hop, which must not be forwarded.
    public static let namesOthers = ConnectionOptions(rawValue: 8)
}

/// How the length of a message's body is known (RFC 9112 6.3).
public enum BodyFraming: Equatable, Sendable, BitwiseCopyable {
    case none
    case length(UInt64)
    case chunked
    /// Response only: everything until the connection closes.
    case untilClose

    /// The framing of a request's body.
    public static func request(_ head: borrowing MessageHead) -> BodyFraming {
        if head.isChunked { return .chunked }
        guard let length = head.contentLength, length > 0 else { return .none }
        return .length(length)
    }

    /// The framing of a response's body; `toHEAD` when it answers a HEAD request.
    public static func response(_ head: borrowing MessageHead, toHEAD: Bool) -> BodyFraming {
        if toHEAD || head.statusCode == 204 || head.statusCode == 304 || head.statusCode < 200 { return .none }
        if head.isChunked { return .chunked }
        guard let length = head.contentLength else { return .untilClose }
        return length == 0 ? .none : .length(length)
    }
}

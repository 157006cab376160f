internal import CNGHTTP2
internal import Primitives

/// What nghttp2's callbacks of one session work with. At an address that never changes.
@safe
struct HTTP2Context: ~Copyable {
    let role: HTTP2Session.Role
    let inbox: UnsafeMutablePointer<HTTPInbox>
    var now: MonotonicInstant
    var guardian: HTTP2FloodGuard
    var isFlooded = false
    /// The bytes that `receive` was given.
    var inputBase: UnsafePointer<UInt8>?
    var sawGoAway = false
    /// The peer has said what it allows.
    var sawSettings = false
    /// The last stream that the peer reset.
    var resetByPeer: Int32 = 0
    var saidGoAway = false
    var openStreams = 0
    /// Output states of all open streams, for the end of the session.
    var firstStream: UnsafeMutablePointer<HTTP2Stream>?
    /// The code of the GOAWAY we sent; 0 = none, or no error.
    var sentErrorCode: UInt32 = 0

    /// Streams that the client has begun.
    var begun = HTTP2StreamLog()
    /// The peer broke a rule that ends the connection and that nghttp2 lets pass.
    var isBroken = false
    var meter: HTTP2FrameMeter
    /// Of the last header section: bytes on the wire, and the most that the fields which we were shown may have taken of them.
    var sectionWireBytes = 0
    var sectionSeenBytes = 0

    // The header section being received; one at a time in a connection (RFC 9113 4.3).
    var block = HeadBlock()
    var blockBytes = ByteBuffer()
    var blockFields: [HeaderField] = []
    /// Crumbs of `cookie`, joined (RFC 9113 8.2.3).
    var cookies = ByteBuffer()

    init(role: HTTP2Session.Role, inbox: UnsafeMutablePointer<HTTPInbox>, now: MonotonicInstant) {
        self.role = role
        unsafe self.inbox = unsafe inbox
        self.now = now
        guardian = HTTP2FloodGuard(now: now)
        meter = HTTP2FrameMeter(hasPreface: role == .server)
        unsafe inputBase = nil
        unsafe firstStream = nil
    }

    var limits: HTTPLimits { unsafe inbox.pointee.limits }

    mutating func adopt(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        openStreams += 1
        unsafe stream.pointee.next = firstStream
        unsafe stream.pointee.previous = nil
        unsafe firstStream?.pointee.previous = stream
        unsafe firstStream = unsafe stream
    }

    /// A stream of ours that nghttp2 knows only from the moment its head is sent; the newest come first.
    func unopened(_ id: Int32) -> UnsafeMutablePointer<HTTP2Stream>? {
        guard role == .client else { return nil }
        var stream = unsafe firstStream
        while let open = unsafe stream {
            if unsafe open.pointee.id == id { return unsafe open }
            unsafe stream = unsafe open.pointee.next
        }
        return nil
    }

    mutating func release(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        let next = unsafe stream.pointee.next
        let previous = unsafe stream.pointee.previous
        unsafe next?.pointee.previous = previous
        if let previous = unsafe previous {
            unsafe previous.pointee.next = next
        } else {
            unsafe firstStream = unsafe next
        }
        openStreams -= 1
        unsafe inbox.pointee.giveBack(stream)
    }

    mutating func returnStreams() {
        while let stream = unsafe firstStream { unsafe release(stream) }
    }

    mutating func spend(_ count: Int32 = 1) {
        if !guardian.spend(count, now: now) { isFlooded = true }
    }

    /// A header section may grow to this many times the limits before the connection ends instead of the request: it must be decoded for
    /// the table's sake, but not for ever.
    static let decodedBytesFactor = 4
    static let decodedFieldsFactor = 8

    // MARK: A header section

    /// Charges for the bytes of the last section that were decoded for nobody.
    private mutating func settleSection() {
        let unseen = sectionWireBytes &- sectionSeenBytes
        if unseen > 0 { spend(Int32(clamping: unseen / HTTP2FloodGuard.unseenBytesPerFrame)) }
        sectionWireBytes = 0
        sectionSeenBytes = 0
    }

    mutating func frameBegins(_ header: nghttp2_frame_hd) {
        if header.type == HTTP2FrameMeter.continuation { return }
        if sectionWireBytes > 0 { settleSection() }
        if header.type == UInt8(NGHTTP2_HEADERS.rawValue) { sectionWireBytes = header.length }
    }

    /// The section goes on with so many bytes more.
    mutating func sectionContinues(_ count: Int) {
        sectionWireBytes &+= count
        if sectionWireBytes &- sectionSeenBytes > HTTP2FloodGuard.unseenBytesMax { isFlooded = true }
    }

    mutating func beginBlock() {
        block = HeadBlock()
        blockBytes.clear(keeping: 4096)
        blockFields.removeAll(keepingCapacity: true)
        cookies.clear(keeping: 4096)
    }

    mutating func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        // The longest code of a byte has 30 bits (RFC 7541 B), and some encoders use them whatever it costs.
        sectionSeenBytes &+= 4 &* (name.count &+ value.count) &+ 32
        block.byteCount &+= UInt32(clamping: name.count &+ value.count)
        block.decodedFields &+= 1
        if Int(block.byteCount) > limits.headBytesMax * Self.decodedBytesFactor
            || Int(block.decodedFields) > limits.fieldCountMax * Self.decodedFieldsFactor
        {
            isFlooded = true
        }
        guard Int(block.byteCount) <= limits.headBytesMax, blockFields.count < min(limits.fieldCountMax, HTTPLimits.fieldSlots - 1) else {
            block.isTooLarge = true
            return
        }
        if name.count > 1, unsafe name[0] == UInt8(ascii: ":") {
            unsafe addPseudo(name, value)
            return
        }
        if unsafe ASCII.equal(name, "cookie") {
            if !cookies.isEmpty { cookies.append("; ") }
            unsafe cookies.append(value)
            return
        }
        unsafe addField(name, value)
    }

    /// Kept as an HTTP/1.1 line, so that it can be passed on in either version.
    private mutating func addField(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        var field = HeaderField()
        field.nameStart = UInt32(truncatingIfNeeded: blockBytes.count)
        field.nameCount = UInt16(clamping: name.count)
        field.valueStart = UInt32(truncatingIfNeeded: blockBytes.count + name.count + 2)
        field.valueCount = UInt32(truncatingIfNeeded: value.count)
        field.isCanonical = true
        // nghttp2 lets no other name through (RFC 9113 8.2.1).
        field.isLowercase = true
        field.name = unsafe HeaderName.lookup(name)
        if field.name == .other || field.name == .envoyOther {
            for unsafe byte in unsafe name where byte == UInt8(ascii: "_") { field.hasUnderscore = true }
        }
        unsafe blockBytes.append(name)
        blockBytes.append(": ")
        unsafe blockBytes.append(value)
        blockBytes.append("\r\n")
        blockFields.append(field)
    }

    private mutating func addPseudo(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        let slice = HeadBlock.Slice(
            start: UInt32(truncatingIfNeeded: blockBytes.count), count: UInt32(truncatingIfNeeded: value.count), isThere: true)
        switch unsafe name[1] {
        case UInt8(ascii: "m"): block.method = slice
        case UInt8(ascii: "a"): block.authority = slice
        case UInt8(ascii: "s"):
            // nghttp2 has seen to it that it is three digits.
            if unsafe ASCII.equal(name, ":status") {
                block.hasStatus = true
                block.status = unsafe UInt16(clamping: ASCII.decimal(value) ?? 0)
                return
            }
            block.scheme = slice
        case UInt8(ascii: "p"):
            if unsafe ASCII.equal(name, ":protocol") {
                block.isExtendedConnect = true
                return
            }
            block.path = slice
        default: return
        }
        unsafe blockBytes.append(value)
    }

    /// `:path` is neither `*` nor begins with a slash (RFC 9113 8.3.1). nghttp2 asks that of http and https alone; of any other scheme an
    /// absolute URI would pass, and name a host beside `:authority`.
    var pathIsForeign: Bool {
        guard block.path.isThere else { return false }
        let start = Int(block.path.start)
        let path = unsafe UnsafeRawBufferPointer(rebasing: blockBytes.readable[start..<start + Int(block.path.count)])
        return unsafe path.isEmpty || (path[0] != UInt8(ascii: "/") && !ASCII.equal(path, "*"))
    }

    /// `:status` is no status (RFC 9110 15): nothing below 100 is one, in HTTP/1.1 no head could be written for it, and the body would
    /// stand there alone.
    var statusIsForeign: Bool { block.hasStatus && block.status < 100 }

    /// Moves the finished section into the inbox and tells of it.
    mutating func endBlock(stream: Int32, token: UInt64, endsStream: Bool) {
        if !cookies.isEmpty {
            let name: StaticString = "cookie"
            unsafe addField(UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), cookies.readable)
        }
        if block.isTooLarge, role == .server { spend(HTTP2FloodGuard.largeHeadCost) }
        block.endsStream = endsStream
        unsafe block.bytesStart = UInt32(truncatingIfNeeded: inbox.pointee.bytes.count)
        block.bytesCount = UInt32(truncatingIfNeeded: blockBytes.count)
        unsafe block.fieldStart = UInt32(truncatingIfNeeded: inbox.pointee.fields.count)
        block.fieldCount = UInt32(truncatingIfNeeded: blockFields.count)
        unsafe inbox.pointee.bytes.append(blockBytes.readable)
        for index in blockFields.indices { unsafe inbox.pointee.fields.append(blockFields[index]) }
        unsafe inbox.pointee.blocks.append(block)
        let place = unsafe UInt32(truncatingIfNeeded: inbox.pointee.blocks.count - 1)
        unsafe inbox.pointee.events.append(HTTPEvent(kind: .head, stream: stream, token: token, start: place))
        if endsStream { unsafe inbox.pointee.events.append(HTTPEvent(kind: .end, stream: stream, token: token)) }
        if blockBytes.capacity > 8192 { blockBytes.release() }
    }
}

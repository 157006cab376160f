public import Primitives

/// Heads that outlive the bytes they came in, and their fields changed in place.
extension MessageHead {
    /// Fields that may be added to what a peer sent.
    static let ownFieldsMax = 48

    /// Takes over the head of a section that has just been told of, with its bytes. `inbox` still holds it.
    public mutating func keep(_ section: HeadSection, from inbox: inout HTTPInbox) {
        guard section.isParsed else {
            reserve(fields: Int(inbox.blocks[Int(section.place)].fieldCount))
            unsafe load(section, from: &inbox)
            own()
            isTooLarge = section.isTooLarge
            return
        }
        let source = unsafe inbox.head.parts
        reserve(fields: unsafe source.pointee.facts.fieldCount)
        unsafe copyParts(of: source)
        let count = unsafe source.pointee.facts.fieldCount
        unsafe table.update(from: inbox.head.table, count: count)
        own()
    }

    /// As `keep`, for a head that has room for as many fields as a parser finds: what was parsed in place changes hands with what this head
    /// had, so that of a section nothing but its bytes is copied.
    public mutating func take(_ section: HeadSection, from inbox: inout HTTPInbox) {
        guard section.isParsed, unsafe parts.pointee.slots >= HTTPLimits.fieldSlots else { return keep(section, from: &inbox) }
        swap(&self, &inbox.head)
        let bytes = unsafe parts.pointee.bytes
        unsafe parts.pointee.bytes = unsafe UnsafeRawBufferPointer(start: bytes.baseAddress, count: min(byteCount, bytes.count))
        reserve(fields: fieldCount)
        own()
    }

    /// The same fields in a head of their own, for a copy of the message.
    public mutating func keep(copyOf other: borrowing MessageHead) {
        reserve(fields: other.fieldCount)
        unsafe copyParts(of: other.parts)
        unsafe table.update(from: other.table, count: other.fieldCount)
        own()
    }

    /// Begins a response of our own: no fields yet. `length`: of its body, as its head will say.
    public mutating func beginResponse(status: UInt16, length: UInt64?) {
        unsafe parts.pointee.text.clear(keeping: 16 * 1024)
        unsafe begin(UnsafeRawBufferPointer(start: nil, count: 0))
        unsafe parts.pointee.facts.sentTarget = 0..<0
        minorVersion = 1
        byteCount = 0
        isTooLarge = false
        reasonCount = 0
        statusCode = status
        contentLength = length
    }

    /// Begins a request of our own: no fields yet. `authority` is what `Host` or `:authority` will say (RFC 9110 7.2), `target` a path and
    /// query, or what `method` asks for instead. `length`: of its body, in bytes, as its head will say; nil = its head says nothing, 0 is
    /// said (RFC 9110 8.6). The texts are sent as they are: whoever passes on what somebody typed has looked at it. For the edge.
    public mutating func beginRequest(method: String, target: String, authority: String, length: UInt64? = nil) {
        beginResponse(status: 0, length: length)
        let place = write { $0.append(string: method) }
        methodStart = place.lowerBound
        methodCount = place.count
        sentTarget = write { $0.append(string: target) }
        targetStart = sentTarget.lowerBound
        targetCount = sentTarget.count
        sentAuthority = write { $0.append(string: authority) }
    }

    /// What the head says of its body's length when it is sent, in bytes, in place of what came; nil = nothing.
    public mutating func announce(length: UInt64?) { contentLength = length }

    /// Adds a field behind the others. For the edge.
    @discardableResult
    public mutating func add(name: String, value: String) -> Bool {
        var name = name
        var value = value
        return name.withUTF8 { name in
            value.withUTF8 { value in unsafe add(UnsafeRawBufferPointer(name), UnsafeRawBufferPointer(value)) }
        }
    }

    private func copyParts(of source: UnsafeMutablePointer<HeadParts>) {
        let bytes = unsafe source.pointee.bytes
        unsafe parts.pointee.bytes = unsafe UnsafeRawBufferPointer(start: bytes.baseAddress, count: min(source.pointee.extent, bytes.count))
        unsafe parts.pointee.facts = source.pointee.facts
    }

    /// Copies the bytes that the fields point into.
    private func own() {
        unsafe parts.pointee.text.clear(keeping: 16 * 1024)
        unsafe parts.pointee.text.append(parts.pointee.bytes)
        refresh()
    }

    /// The text may have moved.
    func refresh() { unsafe parts.pointee.bytes = unsafe parts.pointee.text.readable }

    @usableFromInline
    mutating func reserve(fields count: Int) {
        let wanted = count + Self.ownFieldsMax
        if unsafe parts.pointee.slots < wanted { grow(fields: wanted) }
    }

    @inline(never)
    private mutating func grow(fields wanted: Int) {
        let grown = (wanted + 31) & ~31
        let fresh = UnsafeMutablePointer<HeaderField>.allocate(capacity: grown)
        unsafe fresh.initialize(repeating: HeaderField(), count: grown)
        unsafe fresh.update(from: table, count: parts.pointee.slots)
        unsafe table.deallocate()
        unsafe table = unsafe fresh
        unsafe parts.pointee.slots = grown
    }

    // MARK: Text of our own

    /// Bytes of the head's text; where the next piece of it will begin.
    public var textEnd: Int { unsafe parts.pointee.text.count }

    /// Appends to the head's text and returns where it stands.
    @discardableResult
    public mutating func write(_ body: (inout ByteBuffer) -> Void) -> Range<Int> {
        let start = textEnd
        unsafe body(&parts.pointee.text)
        refresh()
        return start..<textEnd
    }

    @unsafe
    public func text(_ place: Range<Int>) -> UnsafeRawBufferPointer { unsafe slice(place.lowerBound, place.count) }

    /// Where bytes that a caller found in this head stand in its text.
    @unsafe
    public func place(of bytes: UnsafeRawBufferPointer) -> Range<Int> {
        guard let start = bytes.baseAddress, let base = unsafe parts.pointee.bytes.baseAddress, bytes.count > 0 else { return 0..<0 }
        let offset = unsafe start - base
        return offset..<offset + bytes.count
    }

    /// What the request line or `:path` says when the head is sent: path and query, in the text.
    public var sentTarget: Range<Int> {
        get { unsafe parts.pointee.facts.sentTarget }
        set { unsafe parts.pointee.facts.sentTarget = newValue }
    }

    /// What `Host` or `:authority` says when the head is sent.
    public var sentAuthority: Range<Int> {
        get { unsafe parts.pointee.facts.sentAuthority }
        set { unsafe parts.pointee.facts.sentAuthority = newValue }
    }

    // MARK: Fields

    /// Drops the fields that `stays` is false for; the others move up. Always inlined, so that `stays` is no call for each field.
    @inlinable @inline(__always)
    public mutating func filter(_ stays: (borrowing MessageHead, Int) -> Bool) {
        // All are asked before any has moved: what one says may depend on another.
        var goes = InlineArray<4, UInt64>(repeating: 0)
        var isAny = false
        let count = fieldCount
        var index = 0
        while index < count {
            if !stays(self, index) {
                goes[index >> 6] |= 1 &<< UInt64(index & 63)
                isAny = true
            }
            index &+= 1
        }
        if isAny { compact(goes) }
    }

    @usableFromInline
    mutating func compact(_ goes: InlineArray<4, UInt64>) {
        let head = unsafe parts
        let count = fieldCount
        unsafe head.pointee.facts.firstIndex = InlineArray(repeating: 255)
        var kept = 0
        var index = 0
        while index < count {
            if goes[index >> 6] &>> UInt64(index & 63) & 1 == 0 {
                let field = unsafe table[index]
                unsafe table[kept] = field
                if field.name != .other { noteFirst(field.name, kept) }
                kept &+= 1
            }
            index &+= 1
        }
        fieldCount = kept
    }

    /// Adds a field behind the others; its value is what `value` writes. False when there is no room for another.
    @discardableResult @inlinable @inline(__always)
    public mutating func add(_ name: StaticString, _ known: HeaderName = .other, value: (inout ByteBuffer) -> Void) -> Bool {
        let start = unsafe openField(UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        unsafe value(&parts.pointee.text)
        return closeField(start, name.utf8CodeUnitCount, known)
    }

    @discardableResult @inlinable @inline(__always)
    public mutating func add(_ name: StaticString, _ known: HeaderName = .other, text: StaticString) -> Bool {
        add(name, known) { $0.append(text) }
    }

    /// Adds a field whose value has at most `bytesMax` bytes: there is room for all of it at once.
    @discardableResult @inlinable @inline(__always)
    public mutating func add(
        _ name: StaticString, _ known: HeaderName = .other, bytesMax: Int, value: (inout FixedOutput) -> Void
    ) -> Bool {
        let head = unsafe parts
        let nameCount = name.utf8CodeUnitCount
        let start = unsafe head.pointee.text.count
        let line = unsafe head.pointee.text.reserve(nameCount &+ bytesMax &+ 4)
        unsafe line.copyMemory(from: name.utf8Start, byteCount: nameCount)
        unsafe line.storeBytes(of: 0x203A, toByteOffset: nameCount, as: UInt16.self)
        var output = unsafe FixedOutput(line + nameCount + 2, capacity: bytesMax)
        value(&output)
        let count = output.count
        unsafe line.storeBytes(of: 0x0A0D, toByteOffset: nameCount &+ 2 &+ count, as: UInt16.self)
        unsafe head.pointee.text.commit(nameCount &+ count &+ 4)
        return noteField(start, nameCount, valueCount: count, known)
    }

    /// Adds a field whose whole line is known, its CR LF included: `line` is of the name, a colon, a space and the value.
    @discardableResult @inlinable @inline(__always)
    public mutating func add(line: StaticString, _ known: HeaderName, nameCount: Int) -> Bool {
        let head = unsafe parts
        let start = unsafe head.pointee.text.count
        unsafe head.pointee.text.append(line)
        return noteField(start, nameCount, valueCount: line.utf8CodeUnitCount &- nameCount &- 4, known)
    }

    /// Adds the field whose whole line `line` writes, its CR LF included.
    @discardableResult @inlinable @inline(__always)
    public mutating func add(lineOf known: HeaderName, nameCount: Int, _ line: (inout ByteBuffer) -> Void) -> Bool {
        let head = unsafe parts
        let start = unsafe head.pointee.text.count
        unsafe line(&head.pointee.text)
        let valueCount = unsafe head.pointee.text.count &- start &- nameCount &- 4
        precondition(valueCount >= 0, "the line has less than a name and what surrounds a value")
        return noteField(start, nameCount, valueCount: valueCount, known)
    }

    /// As above, with the value of text that the head has already.
    @discardableResult @inlinable @inline(__always)
    public mutating func add(_ name: StaticString, _ known: HeaderName = .other, copyOf place: Range<Int>) -> Bool {
        add(name, known) { $0.append(copyOf: place) }
    }

    @unsafe @discardableResult
    public mutating func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        let known = unsafe HeaderName.lookup(name)
        let start = unsafe openField(name)
        unsafe parts.pointee.text.append(value)
        return closeField(start, name.count, known)
    }

    /// Writes a field's name and what stands behind it; returns where it begins.
    ///
    /// Always inlined, as the forms of `add` are: a literal name goes there as a few stores.
    @inlinable @inline(__always)
    func openField(_ name: UnsafeRawBufferPointer) -> Int {
        let head = unsafe parts
        let start = unsafe head.pointee.text.count
        // Room for a common value as well.
        let out = unsafe head.pointee.text.reserve(name.count + 66)
        if let source = name.baseAddress { unsafe out.copyMemory(from: source, byteCount: name.count) }
        unsafe out.storeBytes(of: 0x203A, toByteOffset: name.count, as: UInt16.self)
        unsafe head.pointee.text.commit(name.count + 2)
        return start
    }

    /// Ends the field that begins at `start` with the value just written. Always inlined: what is known of a literal name is known here.
    @inlinable @inline(__always)
    mutating func closeField(_ start: Int, _ nameCount: Int, _ known: HeaderName) -> Bool {
        let head = unsafe parts
        let end = unsafe head.pointee.text.count
        unsafe head.pointee.text.append("\r\n")
        // Places in the text, name before value before end: neither overflows.
        return noteField(start, nameCount, valueCount: end &- start &- nameCount &- 2, known)
    }

    /// Notes the field whose line begins at `start` and ends with the text.
    @inlinable @inline(__always)
    mutating func noteField(_ start: Int, _ nameCount: Int, valueCount: Int, _ known: HeaderName) -> Bool {
        let head = unsafe parts
        unsafe head.pointee.bytes = unsafe head.pointee.text.readable
        let index = unsafe head.pointee.facts.fieldCount
        if unsafe index == head.pointee.slots { reserve(fields: index) }
        guard index < 255, nameCount <= Int(UInt16.max) else { return false }
        var field = HeaderField()
        field.name = known
        field.nameStart = UInt32(truncatingIfNeeded: start)
        field.nameCount = UInt16(truncatingIfNeeded: nameCount)
        field.valueStart = UInt32(truncatingIfNeeded: start &+ nameCount &+ 2)
        field.valueCount = UInt32(truncatingIfNeeded: valueCount)
        field.isCanonical = true
        unsafe table[index] = field
        if known != .other { noteFirst(known, index) }
        unsafe head.pointee.facts.fieldCount = index &+ 1
        return true
    }

    /// Drops the fields behind the first `count`, and the text from `end` on.
    public mutating func truncate(fields count: Int, text end: Int) {
        for name in unsafe parts.pointee.facts.firstIndex.indices where unsafe parts.pointee.facts.firstIndex[name] != 255 {
            if unsafe Int(parts.pointee.facts.firstIndex[name]) >= count { unsafe parts.pointee.facts.firstIndex[name] = 255 }
        }
        fieldCount = min(fieldCount, count)
        unsafe parts.pointee.text.truncate(to: min(end, textEnd))
        refresh()
    }

    /// Gives the memory back that an unusual head took.
    public mutating func release() {
        unsafe parts.pointee.text.clear(keeping: 4096)
        unsafe begin(UnsafeRawBufferPointer(start: nil, count: 0))
    }
}

/// Places of parts in a kept head's text.
extension MessageHead {
    /// The target exactly as it came.
    public var targetPlace: Range<Int> { targetStart..<targetStart + targetCount }

    /// A part of the target, by its place in it.
    public func place(ofTarget part: Range<Int>) -> Range<Int> { targetStart + part.lowerBound..<targetStart + part.upperBound }

    /// The first value of a known field; nil = there is none.
    public func place(of name: HeaderName) -> Range<Int>? {
        guard let index = index(of: name) else { return nil }
        let field = unsafe field(index)
        return Int(field.valueStart)..<Int(field.valueStart) + Int(field.valueCount)
    }

    /// A copy of both, one behind the other.
    public mutating func join(_ first: Range<Int>, _ second: Range<Int>) -> Range<Int> {
        let start = textEnd
        copy(first)
        copy(second)
        return start..<textEnd
    }

    private mutating func copy(_ part: Range<Int>) {
        unsafe parts.pointee.text.append(copyOf: part)
        refresh()
    }

    /// The section was cut at a limit: what is here is its beginning.
    public var isTooLarge: Bool {
        get { unsafe parts.pointee.facts.isTooLarge }
        set { unsafe parts.pointee.facts.isTooLarge = newValue }
    }
}

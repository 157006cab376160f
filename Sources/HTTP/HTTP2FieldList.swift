internal import CNGHTTP2
internal import Primitives

/// A header section being put together for sending. One per worker, reused; names are lower-cased on the way in (RFC 9113 8.2).
///
/// Values are not copied: they must stay where they are until the section is submitted.
@safe
public struct HTTP2FieldList: ~Copyable {
    let names: UnsafeMutablePointer<UInt8>
    let table: UnsafeMutablePointer<nghttp2_nv>
    var nameCount = 0
    public private(set) var count = 0
    /// A field did not fit; the section must not be sent.
    public private(set) var isOverfull = false
    /// Names and values added, bytes.
    public private(set) var byteCount = 0

    static let nameBytesMax = 128 * 1024
    static let fieldsMax = 256

    public init() {
        unsafe names = .allocate(capacity: Self.nameBytesMax)
        unsafe table = .allocate(capacity: Self.fieldsMax)
    }

    deinit {
        unsafe names.deallocate()
        unsafe table.deallocate()
    }

    public mutating func begin() {
        nameCount = 0
        count = 0
        byteCount = 0
        isOverfull = false
    }

    @unsafe
    public mutating func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        guard count < Self.fieldsMax, nameCount + name.count <= Self.nameBytesMax else {
            isOverfull = true
            return
        }
        let start = unsafe names + nameCount
        for index in 0..<name.count { unsafe start[index] = ASCII.lower(name[index]) }
        nameCount += name.count
        unsafe put(start, name.count, value)
    }

    /// As `add`, with a name that is in lower case and stays where it is.
    @unsafe
    mutating func add(lowercase name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        guard count < Self.fieldsMax, let start = unsafe name.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
            isOverfull = true
            return
        }
        unsafe put(UnsafeMutablePointer(mutating: start), name.count, value)
    }

    @unsafe
    public mutating func add(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
        guard count < Self.fieldsMax else {
            isOverfull = true
            return
        }
        unsafe put(UnsafeMutablePointer(mutating: name.utf8Start), name.utf8CodeUnitCount, value)
    }

    public mutating func add(_ name: StaticString, _ value: StaticString) {
        unsafe add(name, UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
    }

    /// A decimal value, kept among the names.
    public mutating func add(_ name: StaticString, decimal value: UInt64) {
        guard nameCount + 20 <= Self.nameBytesMax else {
            isOverfull = true
            return
        }
        let start = unsafe names + nameCount
        let digits = unsafe writeDecimal(value, to: start)
        nameCount += digits
        unsafe add(name, UnsafeRawBufferPointer(start: start, count: digits))
    }

    /// A value that would not stay where it is until the section is sent.
    @unsafe
    public mutating func add(_ name: StaticString, copying value: UnsafeRawBufferPointer) {
        if let kept = unsafe keep(value, besides: 0) { unsafe add(name, kept) }
    }

    /// As `add(_:copying:)`, with a name that is not a constant.
    @unsafe
    public mutating func add(_ name: UnsafeRawBufferPointer, copying value: UnsafeRawBufferPointer) {
        if let kept = unsafe keep(value, besides: name.count) { unsafe add(name, kept) }
    }

    /// Copies a value to among the names; nil when there is no room for it and `others` bytes more.
    private mutating func keep(_ value: UnsafeRawBufferPointer, besides others: Int) -> UnsafeRawBufferPointer? {
        guard nameCount + others + value.count <= Self.nameBytesMax else {
            isOverfull = true
            return nil
        }
        let start = unsafe names + nameCount
        for index in 0..<value.count { unsafe start[index] = value[index] }
        nameCount += value.count
        return unsafe UnsafeRawBufferPointer(start: start, count: value.count)
    }

    /// Takes out the fields whose names are to go, but for pseudo-header fields.
    @unsafe
    public mutating func remove(where goes: (UnsafeRawBufferPointer) -> Bool) {
        var kept = 0
        for index in 0..<count {
            let field = unsafe table[index]
            let name = unsafe UnsafeRawBufferPointer(start: field.name, count: field.namelen)
            if unsafe name.first != UInt8(ascii: ":") && goes(name) {
                byteCount -= unsafe field.namelen + field.valuelen
                continue
            }
            unsafe table[kept] = unsafe field
            kept += 1
        }
        count = kept
    }

    /// Adds lines of the form `Name: value CR LF`, as we write them ourselves, leaving out those that HTTP/2 has no place for (RFC 9113
    /// 8.2.2).
    @unsafe
    public mutating func add(lines: UnsafeRawBufferPointer) {
        var start = 0
        while start < lines.count {
            guard let colon = unsafe lines.firstIndex(of: UInt8(ascii: ":"), from: start),
                let end = unsafe lines.firstIndex(of: 13, from: colon)
            else { return }
            let name = unsafe UnsafeRawBufferPointer(rebasing: lines[start..<colon])
            let value = min(colon + 2, end)
            if unsafe !Self.isOfHTTP1(name) { unsafe add(name, UnsafeRawBufferPointer(rebasing: lines[value..<end])) }
            start = end + 2
        }
    }

    private static func isOfHTTP1(_ name: UnsafeRawBufferPointer) -> Bool {
        switch name.count {
        case 4: unsafe ASCII.equal(name, ignoringCase: "host")
        case 7: unsafe ASCII.equal(name, ignoringCase: "upgrade")
        case 10: unsafe ASCII.equal(name, ignoringCase: "connection") || ASCII.equal(name, ignoringCase: "keep-alive")
        case 17: unsafe ASCII.equal(name, ignoringCase: "transfer-encoding")
        default: false
        }
    }

    /// Puts a request head in the form of HTTP/1.1, as we write it ourselves, into the list: pseudo-header fields first (RFC 9113 8.3.1).
    @unsafe
    public mutating func add(requestHead bytes: UnsafeRawBufferPointer, isHTTPS: Bool) {
        guard let lineEnd = unsafe bytes.firstIndex(of: 13, from: 0),
            let methodEnd = unsafe bytes.firstIndex(of: 32, from: 0)
        else { return }
        let targetEnd = lineEnd - 9
        guard targetEnd > methodEnd, let hostEnd = unsafe bytes.firstIndex(of: 13, from: lineEnd + 8) else { return }
        unsafe add(":method", UnsafeRawBufferPointer(rebasing: bytes[..<methodEnd]))
        add(":scheme", isHTTPS ? "https" : "http")
        unsafe add(":authority", UnsafeRawBufferPointer(rebasing: bytes[(lineEnd + 8)..<hostEnd]))
        unsafe add(":path", UnsafeRawBufferPointer(rebasing: bytes[(methodEnd + 1)..<targetEnd]))
        unsafe add(lines: UnsafeRawBufferPointer(rebasing: bytes[(hostEnd + 2)...]))
    }

    private mutating func put(_ name: UnsafeMutablePointer<UInt8>, _ nameCount: Int, _ value: UnsafeRawBufferPointer) {
        // nghttp2 copies both and writes to neither.
        let bytes = unsafe UnsafeMutablePointer(mutating: value.baseAddress?.assumingMemoryBound(to: UInt8.self))
        unsafe table[count] = unsafe nghttp2_nv(
            name: name, value: bytes ?? name, namelen: nameCount, valuelen: value.count, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
        count += 1
        byteCount += nameCount + value.count
    }
}

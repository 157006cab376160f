public import Primitives

/// The claims of one token, in memory that is used again for the next. Owned by one thread.
@safe
public struct ClaimsBuffer: ~Copyable {
    /// Entries that are kept of a token; what is beyond them is left out, and `isCut` says so.
    public static let entriesMax = 512
    /// Bytes of names and values that are kept of a token.
    public static let bytesMax = 64 * 1024

    private var entries = ByteBuffer()
    private var text = ByteBuffer()
    private var principal = TableRange()
    /// Where views look.
    @unsafe private let rows: UnsafeMutablePointer<ClaimsRows>
    /// Something was left out, because there is a bound.
    public private(set) var isCut = false

    public init() {
        unsafe rows = .allocate(capacity: 1)
        unsafe rows.initialize(to: ClaimsRows())
    }

    deinit { unsafe rows.deallocate() }

    public mutating func clear() {
        entries.clear(keeping: 16 * 1024)
        text.clear(keeping: 16 * 1024)
        principal = TableRange()
        isCut = false
    }

    /// Bytes of memory.
    public var capacity: Int { entries.capacity + text.capacity }

    /// Says whom the token is about: `ISSUER/SUBJECT`. Without one of them it is about nobody.
    public mutating func note(issuer: LentBytes, subject: LentBytes) {
        guard !issuer.isEmpty, !subject.isEmpty, issuer.count + subject.count < Self.bytesMax else { return }
        let start = text.count
        text.append(issuer)
        text.append("/")
        text.append(subject)
        principal = range(from: start)
    }

    /// Adds a value. `path`: names with `ClaimPath.separator` between them.
    public mutating func add(_ kind: ClaimEntry.Kind, isListed: Bool, path: LentBytes, value: LentBytes) {
        let size = MemoryLayout<ClaimEntry>.stride
        guard entries.count < Self.entriesMax * size, text.count + path.count + value.count <= Self.bytesMax else {
            isCut = true
            return
        }
        let start = text.count
        text.append(path)
        let middle = text.count
        text.append(value)
        let entry = ClaimEntry(
            kind: kind, isListed: isListed, path: TableRange(start: UInt32(start), count: UInt32(middle - start)),
            value: range(from: middle))
        unsafe entries.reserve(size).storeBytes(of: entry, as: ClaimEntry.self)
        entries.commit(size)
    }

    /// Adds each word of a value as a value of its own (RFC 8693 section 4.2: `scope`).
    public mutating func add(wordsOf value: LentBytes, path: LentBytes) {
        add(.words, isListed: false, path: path, value: value)
        var start = 0
        while start < value.count {
            let end = value.index(of: UInt8(ascii: " "), from: start)
            if end > start { add(.string, isListed: true, path: path, value: value[start..<end]) }
            start = end + 1
        }
    }

    private func range(from start: Int) -> TableRange {
        TableRange(start: UInt32(truncatingIfNeeded: start), count: UInt32(truncatingIfNeeded: text.count - start))
    }

    /// Good until the next change.
    @unsafe public var view: ClaimsView {
        let bytes = unsafe entries.readable
        let all = unsafe LentBytes(text.readable)
        unsafe rows.pointee.entries = UnsafeBufferPointer(
            start: bytes.baseAddress?.assumingMemoryBound(to: ClaimEntry.self), count: bytes.count / MemoryLayout<ClaimEntry>.stride)
        unsafe rows.pointee.text = all
        unsafe rows.pointee.principal = all[principal.indices]
        return unsafe ClaimsView(UnsafePointer(rows))
    }
}

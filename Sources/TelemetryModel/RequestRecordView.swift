/// Reads a record where it lies in the ring; valid only until the ring entry is released.
@safe
public struct RequestRecordView: ~Escapable {
    private let bytes: RawSpan
    private let attemptsOffset: Int
    private let connectionsOffset: Int
    public let record: RequestRecord

    /// `bytes` is exactly one ring entry, written by the proxy's `RequestLog`.
    ///
    /// Returns nil when the entry is shorter than its own lengths say, which would be our bug and must not be read past.
    @_lifetime(copy bytes)
    public init?(_ bytes: RawSpan) {
        guard bytes.byteCount >= MemoryLayout<RequestRecord>.size else { return nil }
        let record = unsafe bytes.unsafeLoadUnaligned(as: RequestRecord.self)
        var total = Self.lengthsOffset + 2 * Int(record.textCount)
        guard bytes.byteCount >= total else { return nil }
        for slot in 0..<Int(record.textCount) {
            let length = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: Self.lengthsOffset + 2 * slot, as: UInt16.self)
            total += length == Self.absentLength ? 0 : Int(length)
        }
        attemptsOffset = total
        total += Int(record.earlierAttempts) * MemoryLayout<AttemptRecord>.stride
        connectionsOffset = total
        total += Int(record.downstreamTextBytes) + Int(record.upstreamTextBytes)
        guard bytes.byteCount >= total else { return nil }
        self.bytes = bytes
        self.record = record
    }

    /// The whole entry, of which all lengths have been checked: for those who read many texts and want their places once.
    public var entry: RawSpan {
        @_lifetime(copy self)
        get { bytes }
    }

    public static let absentLength = UInt16.max
    public static let lengthsOffset = MemoryLayout<RequestRecord>.stride

    /// A try that was followed by another, `index` in 0..<record.earlierAttempts.
    public func attempt(_ index: Int) -> AttemptRecord {
        precondition(index >= 0 && index < Int(record.earlierAttempts))
        return unsafe bytes.unsafeLoadUnaligned(
            fromByteOffset: attemptsOffset + index * MemoryLayout<AttemptRecord>.stride, as: AttemptRecord.self)
    }

    /// What the connection at one end has to tell; nil = nothing of this kind, or nobody asked for it.
    @_lifetime(copy self)
    public func text(_ kind: ConnectionText, of end: ConnectionEnd) -> RawSpan? {
        let start = connectionsOffset + (end == .upstream ? Int(record.downstreamTextBytes) : 0)
        let count = Int(end == .upstream ? record.upstreamTextBytes : record.downstreamTextBytes)
        guard count > 0 else { return nil }
        let texts = bytes.extracting(start..<start + count)
        let place = unsafe texts.withUnsafeBytes { unsafe ConnectionTextCoding.place(of: kind, in: $0) }
        guard let place else { return nil }
        return texts.extracting(place)
    }

    /// The bytes of a text slot; nil when the message had no such value.
    @_lifetime(copy self)
    public func text(_ slot: RequestText) -> RawSpan? {
        guard slot.rawValue < record.textCount else { return nil }
        var start = Self.lengthsOffset + 2 * Int(record.textCount)
        for earlier in 0..<Int(slot.rawValue) {
            let length = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: Self.lengthsOffset + 2 * earlier, as: UInt16.self)
            start += length == Self.absentLength ? 0 : Int(length)
        }
        let length = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: Self.lengthsOffset + 2 * Int(slot.rawValue), as: UInt16.self)
        guard length != Self.absentLength else { return nil }
        return bytes.extracting(start..<start + Int(length))
    }
}

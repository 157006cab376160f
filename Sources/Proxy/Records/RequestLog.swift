internal import Primitives
internal import TelemetryModel

/// What a request or connection leaves behind for the access log and its span: the record, its texts, and the tries before the last. Its
/// buffers stay warm from one to the next.
struct RequestLog: ~Copyable {
    var record = RequestRecord()
    /// Text slots in slot order, and their lengths.
    private var text = ByteBuffer()
    private var lengths = InlineArray<56, UInt16>(repeating: RequestRecordView.absentLength)
    private var textCount = 0
    /// What is told in place of the target that is sent, in the head's text; empty = nothing else.
    var shownTarget = 0..<0
    /// Tries that were followed by another; `record.earlierAttempts` are there.
    /// What the connections of both ends have to tell.
    private var downstream = ByteBuffer()
    private var upstream = ByteBuffer()
    private var earlier = InlineArray<8, AttemptRecord>(repeating: AttemptRecord())

    init() {}

    @inline(__always)
    mutating func begin() {
        record = RequestRecord()
        text.clear(keeping: 4096)
        textCount = 0
        shownTarget = 0..<0
        if !downstream.isEmpty { downstream.clear(keeping: ConnectionTextCoding.bytesMax) }
        forgetUpstream()
    }

    /// What the client's connection tells; once for a record.
    mutating func note(downstream texts: borrowing ConnectionTexts) {
        guard !texts.bytes.isEmpty else { return }
        downstream.append(contentsOf: texts.bytes)
    }

    /// What the connection of the current try tells.
    mutating func note(upstream texts: borrowing ConnectionTexts) {
        forgetUpstream()
        guard !texts.bytes.isEmpty else { return }
        upstream.append(contentsOf: texts.bytes)
    }

    /// Another try begins.
    mutating func forgetUpstream() {
        if !upstream.isEmpty { upstream.clear(keeping: ConnectionTextCoding.bytesMax) }
    }

    /// Appends the next text slot; nil = the message has no such value. Each holds `bytesMax` at most, whatever the others hold; all
    /// together no more than the heads they come from (`HTTPLimits.headBytesMax`).
    @inline(__always)
    mutating func append(_ bytes: LentBytes?, upTo bytesMax: Int) {
        guard textCount < lengths.count else { return }
        var length = RequestRecordView.absentLength
        if let bytes = bytes {
            // Cut, not dropped: the beginning of a value tells most.
            let count = min(bytes.count, bytesMax)
            text.append(bytes.prefix(count))
            length = UInt16(truncatingIfNeeded: count)
        }
        lengths[textCount] = length
        textCount &+= 1
    }

    mutating func appendAbsent(_ count: Int) {
        for _ in 0..<count { append(nil, upTo: 0) }
    }

    /// Keeps what is known of a try that another one will follow.
    mutating func note(attempt begin: UInt64, _ end: UInt64, _ ending: AttemptRecord.End, status: UInt16) {
        let place = Int(record.earlierAttempts)
        guard place < AttemptRecord.countMax else { return }
        earlier[place].endpoint = record.upstreamRemote
        earlier[place].begin = begin
        earlier[place].end = end
        earlier[place].status = status
        earlier[place].grpcStatus = record.grpcStatus
        earlier[place].ending = ending
        record.earlierAttempts += 1
    }

    /// Hands the record over. A full ring drops it and counts that.
    @inline(__always)
    mutating func emit(to ring: RecordRing) {
        record.textCount = UInt8(truncatingIfNeeded: textCount)
        let attempts = Int(record.earlierAttempts)
        let textOffset = RequestRecordView.lengthsOffset + 2 * textCount
        let attemptsOffset = textOffset + text.count
        let connectionsOffset = attemptsOffset + attempts * MemoryLayout<AttemptRecord>.stride
        record.downstreamTextBytes = UInt16(clamping: downstream.count)
        record.upstreamTextBytes = UInt16(clamping: upstream.count)
        let size = connectionsOffset + downstream.count + upstream.count
        guard let out = unsafe ring.reserve(size) else { return }
        unsafe out.storeBytes(of: record, as: RequestRecord.self)
        let lengthsPlace = unsafe out + RequestRecordView.lengthsOffset
        unsafe withUnsafeBytes(of: lengths) {
            unsafe lengthsPlace.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: 2 * textCount)
        }
        unsafe text.copy(to: out + textOffset)
        for index in 0..<attempts {
            let offset = attemptsOffset + index * MemoryLayout<AttemptRecord>.stride
            unsafe out.storeBytes(of: earlier[index], toByteOffset: offset, as: AttemptRecord.self)
        }
        unsafe downstream.copy(to: out + connectionsOffset)
        unsafe upstream.copy(to: out + connectionsOffset + downstream.count)
        ring.publish(size)
    }
}

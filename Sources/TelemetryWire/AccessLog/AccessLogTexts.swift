internal import TelemetryModel

/// Where the texts of one record lie, reckoned once. `entry` has been checked by `RequestRecordView`, and outlives this.
@safe
struct AccessLogTexts: ~Copyable {
    private static let slotsMax = 64

    private let entry: UnsafeRawBufferPointer
    private let count: Int
    /// Slot `n` is `entry[starts[n]..<starts[n + 1]]`; absent ones are empty.
    private var starts: InlineArray<65, UInt32>
    /// Of all texts together.
    let byteCount: Int

    @inline(__always)
    init(_ entry: UnsafeRawBufferPointer, count: Int) {
        unsafe self.entry = entry
        self.count = min(count, Self.slotsMax)
        let first = RequestRecordView.lengthsOffset &+ 2 &* count
        var starts = InlineArray<65, UInt32>(repeating: 0)
        var at = UInt32(truncatingIfNeeded: first)
        for slot in 0..<self.count {
            starts[slot] = at
            let length = unsafe entry.loadUnaligned(fromByteOffset: RequestRecordView.lengthsOffset &+ 2 &* slot, as: UInt16.self)
            at &+= length == RequestRecordView.absentLength ? 0 : UInt32(length)
        }
        starts[self.count] = at
        self.starts = starts
        byteCount = max(entry.count &- first, 0)
    }

    /// Writes at most `maxBytes` of a text; false when it is absent or empty.
    @inline(__always)
    func write(_ slot: RequestText, _ maxBytes: Int, isJSON: Bool, to writer: inout LineWriter) -> Bool {
        let index = Int(slot.rawValue)
        guard index < count else { return false }
        let start = Int(starts[index])
        let length = Int(starts[index &+ 1]) &- start
        if length == 0 { return false }
        let text = unsafe UnsafeRawBufferPointer(rebasing: entry[start..<start &+ min(length, maxBytes)])
        unsafe writer.escaped(text, readable: entry.count &- start, isJSON: isJSON)
        return true
    }

    /// A try before the last; they lie behind the texts.
    func attempt(_ index: Int) -> AttemptRecord {
        unsafe entry.loadUnaligned(
            fromByteOffset: Int(starts[count]) &+ index &* MemoryLayout<AttemptRecord>.stride, as: AttemptRecord.self)
    }

    /// What the connection at one end has to tell, behind the tries; nil = nothing of this kind.
    func connectionText(
        _ kind: ConnectionText, of end: ConnectionEnd, _ record: UnsafePointer<RequestRecord>
    ) -> UnsafeRawBufferPointer? {
        let attempts = unsafe Int(record.pointee.earlierAttempts) &* MemoryLayout<AttemptRecord>.stride
        let downstream = unsafe Int(record.pointee.downstreamTextBytes)
        let start = Int(starts[count]) &+ attempts &+ (end == .upstream ? downstream : 0)
        let length = unsafe end == .upstream ? Int(record.pointee.upstreamTextBytes) : downstream
        guard length > 0, unsafe start &+ length <= entry.count else { return nil }
        let texts = unsafe UnsafeRawBufferPointer(rebasing: entry[start..<start &+ length])
        guard let place = unsafe ConnectionTextCoding.place(of: kind, in: texts) else { return nil }
        return unsafe UnsafeRawBufferPointer(rebasing: texts[place])
    }

    /// Writes such a text; false when it is absent or empty.
    @inline(never)
    func write(
        _ kind: ConnectionText, of end: ConnectionEnd, _ record: UnsafePointer<RequestRecord>, isJSON: Bool, to writer: inout LineWriter
    ) -> Bool {
        guard let text = unsafe connectionText(kind, of: end, record), unsafe !text.isEmpty else { return false }
        unsafe writer.escaped(text, readable: text.count, isJSON: isJSON)
        return true
    }

    /// What follows the `?` of the path; false when there is none.
    @inline(never)
    func writeQuery(_ maxBytes: Int, isJSON: Bool, to writer: inout LineWriter) -> Bool {
        guard let query = unsafe query else { return false }
        unsafe writer.escaped(UnsafeRawBufferPointer(rebasing: query.prefix(maxBytes)), readable: query.count, isJSON: isJSON)
        return true
    }

    /// The value of the first parameter of this name, both with their `%XX` decoded; false when there is none. A parameter without `=` is
    /// empty.
    @inline(never)
    func writeQueryParameter(_ name: [UInt8], _ maxBytes: Int, isJSON: Bool, to writer: inout LineWriter) -> Bool {
        guard let query = unsafe query else { return false }
        guard let value = unsafe QueryParameter.value(of: name, in: query) else { return false }
        unsafe value.withUnsafeBytes { value in
            unsafe writer.escaped(UnsafeRawBufferPointer(rebasing: value.prefix(maxBytes)), readable: value.count, isJSON: isJSON)
        }
        return true
    }

    private var query: UnsafeRawBufferPointer? {
        let index = Int(RequestText.path.rawValue)
        guard index < count else { return nil }
        let path = unsafe UnsafeRawBufferPointer(rebasing: entry[Int(starts[index])..<Int(starts[index &+ 1])])
        guard let mark = unsafe path.firstIndex(of: UInt8(ascii: "?")) else { return nil }
        return unsafe UnsafeRawBufferPointer(rebasing: path[(mark + 1)...])
    }

    /// The first of two paths that the record has, up to its query; false when it has neither.
    @inline(never)
    func writePathWithoutQuery(
        _ first: RequestText, _ second: RequestText, _ maxBytes: Int, isJSON: Bool, to writer: inout LineWriter
    ) -> Bool {
        let slots: InlineArray<2, RequestText> = [first, second]
        for place in slots.indices {
            let index = Int(slots[place].rawValue)
            guard index < count else { continue }
            let length = unsafe entry.loadUnaligned(fromByteOffset: RequestRecordView.lengthsOffset &+ 2 &* index, as: UInt16.self)
            if length == RequestRecordView.absentLength { continue }
            let path = unsafe UnsafeRawBufferPointer(rebasing: entry[Int(starts[index])..<Int(starts[index &+ 1])])
            let end = unsafe path.firstIndex(of: UInt8(ascii: "?")) ?? path.count
            unsafe writer.escaped(UnsafeRawBufferPointer(rebasing: path[..<min(end, maxBytes)]), readable: path.count, isJSON: isJSON)
            return true
        }
        return false
    }
}

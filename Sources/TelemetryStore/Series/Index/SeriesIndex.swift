internal import Glibc
internal import Primitives
import TelemetryModel

/// All series by number: their identities as numbers of pieces, what finds them by their bytes, and which have a label.
///
/// Changed on the writer thread alone, under the lock of the `SharedIndex` around it; the writer reads without the lock, everybody else
/// under it. A series of 25 labels takes about 100 bytes: two for each label here, one or two in its list of series.
struct SeriesIndex: ~Copyable {
    /// What is known of one series.
    struct Row: BitwiseCopyable {
        /// Where its pieces are in `pieceBytes`: varint count, varint piece…
        var pieces: UInt64
        var hash: UInt64
        /// Milliseconds since 1970; `last` is at most a day too late after a restart.
        var first: Int64
        var last: Int64
        /// Number of its metric's name.
        var family: UInt32
        var width: UInt16
        var kind: SeriesKind
        var rule: RollupRule
        /// The day (since 1970) up to which the file knows that the series had samples.
        var savedDay: UInt16 = 0
        /// Deleted; its number is not used again.
        var isDeleted = false
    }

    private(set) var pieces = PieceTable()
    private var pieceBytes: [UInt8] = []
    /// By number less `firstID`.
    private var rows: [Row] = []
    private(set) var firstID: UInt32 = 1
    private(set) var liveCount = 0
    /// Series number less `firstID`, + 1; 0 = free. A power of two long, at most half full.
    private var slots = [UInt32](repeating: 0, count: 1024)
    /// By piece.
    private var postings: [PostingList?] = []
    /// Pieces of each label name: its distinct values.
    private(set) var values: [[UInt8]: [UInt32]] = [:]
    /// Changes when numbers of pieces do.
    private(set) var generation = 0

    var endID: UInt32 { firstID + UInt32(clamping: rows.count) }
    var familyCount: Int { pieces.count }

    subscript(id: UInt32) -> Row? {
        guard id >= firstID, id < endID, !rows[Int(id - firstID)].isDeleted else { return nil }
        return rows[Int(id - firstID)]
    }

    // MARK: By identity

    /// The number of the series with this identity, which has this hash.
    func find(_ hash: UInt64, _ bytes: [UInt8], at offset: Int, count: Int) -> UInt32? {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != 0 {
            let index = Int(slots[slot]) - 1
            if rows[index].hash == hash, !rows[index].isDeleted, isEqual(index, bytes, offset, count) { return firstID + UInt32(index) }
            slot = (slot + 1) & mask
        }
        return nil
    }

    private func isEqual(_ index: Int, _ bytes: [UInt8], _ offset: Int, _ count: Int) -> Bool {
        var position = Int(rows[index].pieces)
        var at = offset
        for _ in 0..<nextNumber(&position) {
            guard let length = pieces.isPrefix(nextNumber(&position), of: bytes, at: at) else { return false }
            at += length
        }
        return at == offset + count
    }

    @inline(__always)
    private func nextNumber(_ position: inout Int) -> UInt32 {
        var value: UInt32 = 0
        var shift: UInt32 = 0
        while position < pieceBytes.count {
            let byte = pieceBytes[position]
            position += 1
            value |= UInt32(byte & 0x7F) &<< shift
            if byte < 0x80 { break }
            shift += 7
        }
        return value
    }

    /// Numbers of the pieces of a series: first what stands before the labels.
    func pieceNumbers(_ id: UInt32) -> [UInt32] {
        guard id >= firstID, id < endID else { return [] }
        var position = Int(rows[Int(id - firstID)].pieces)
        var numbers: [UInt32] = []
        let count = nextNumber(&position)
        while numbers.count < Int(count) { numbers.append(nextNumber(&position)) }
        return numbers
    }

    // MARK: Changes

    /// Takes a series in under `id`, which is `endID` or higher. Its identity has been looked at.
    mutating func insert(_ id: UInt32, _ identity: SeriesIdentityReader, first: Int64, last: Int64) {
        if rows.isEmpty { firstID = id }
        while endID < id { appendGone() }
        let (numbers, family) = numbers(of: identity)
        let hash = Self.hash(identity.bytes)
        rows.append(Row(
            pieces: UInt64(pieceBytes.count), hash: hash, first: first, last: last, family: family,
            width: UInt16(clamping: SeriesIdentity.columns(identity.kind, bounds: identity.bounds.count)), kind: identity.kind,
            rule: RollupRule(identity.kind, name: family == numbers[0] ? [] : pieces.labelParts(family).value)))
        append(UInt32(clamping: numbers.count))
        for (index, number) in numbers.enumerated() {
            append(number)
            if index > 0 { note(number, id) }
        }
        liveCount += 1
        place(rows.count - 1)
        if rows.count * 2 > slots.count { rehash() }
    }

    private mutating func appendGone() {
        rows.append(Row(
            pieces: UInt64(pieceBytes.count), hash: 0, first: 0, last: 0, family: 0, width: 0, kind: .unknown, rule: .gauge,
            isDeleted: true))
        append(0)
    }

    /// Numbers the pieces of an identity; those that are new wait for their first series.
    mutating func intern(_ identity: SeriesIdentityReader) -> [UInt32] { numbers(of: identity).pieces }

    /// Takes a piece of the file in under the next number; pieces come in order. Empty = nothing has this number any more.
    mutating func load(piece bytes: [UInt8]) { pieces.load(bytes) }

    private mutating func numbers(of identity: SeriesIdentityReader) -> (pieces: [UInt32], family: UInt32) {
        var numbers = [pieces.intern(identity.bytes, 0..<identity.labelsStart)]
        var family = numbers[0]
        var position = identity.labelsStart
        while position < identity.bytes.count {
            let start = position
            guard let label = try? identity.label(at: &position) else { break }
            let number = pieces.intern(identity.bytes, start..<position)
            let name = Array(identity.bytes[label.name])
            if name.elementsEqual(LabelSet.metricName.utf8) { family = number }
            numbers.append(number)
        }
        return (numbers, family)
    }

    private mutating func append(_ number: UInt32) {
        var rest = number
        while rest >= 0x80 {
            pieceBytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        pieceBytes.append(UInt8(truncatingIfNeeded: rest))
    }

    private mutating func note(_ piece: UInt32, _ id: UInt32) {
        while postings.count <= Int(piece) { postings.append(nil) }
        if postings[Int(piece)] == nil {
            postings[Int(piece)] = .one(id)
            values[pieces.labelName(piece), default: []].append(piece)
        } else {
            postings[Int(piece)]?.append(id)
        }
    }

    private mutating func place(_ index: Int) {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: rows[index].hash) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = UInt32(index + 1)
    }

    private mutating func rehash() {
        slots = [UInt32](repeating: 0, count: slots.count * 2)
        for index in rows.indices where !rows[index].isDeleted { place(index) }
    }

    static func hash(_ bytes: [UInt8]) -> UInt64 { ByteHash.hash(bytes, 0..<bytes.count) }

    /// A sample at `time` was taken.
    @inline(__always)
    mutating func note(_ id: UInt32, at time: Int64) {
        let index = Int(id - firstID)
        if time > rows[index].last { rows[index].last = time }
    }

    /// The file knows of samples up to the end of this day.
    mutating func note(_ id: UInt32, savedDay: UInt16) { if self[id] != nil { rows[Int(id - firstID)].savedDay = savedDay } }

    mutating func remove(_ id: UInt32) {
        guard self[id] != nil else { return }
        rows[Int(id - firstID)].isDeleted = true
        liveCount -= 1
    }

    // MARK: Labels

    /// How many series have the label with this number, those that are gone among them.
    func postingCount(_ piece: UInt32) -> Int { Int(piece) < postings.count ? postings[Int(piece)]?.count ?? 0 : 0 }

    /// Series that have a label, ascending; those that are gone among them.
    func posting(_ piece: UInt32) -> PostingList? { Int(piece) < postings.count ? postings[Int(piece)] : nil }

    /// The number of a label; nil = no series has it.
    func piece(_ name: String, _ value: String) -> UInt32? {
        var bytes: [UInt8] = []
        SeriesIdentity.append(name.utf8, to: &bytes)
        SeriesIdentity.append(value.utf8, to: &bytes)
        return pieces.find(bytes, 0..<bytes.count)
    }

    /// About what all of this takes.
    var memoryBytes: Int {
        pieces.byteCount + pieces.count * 40 + pieceBytes.capacity + rows.capacity * MemoryLayout<Row>.stride + slots.count * 4
            + postings.capacity * MemoryLayout<PostingList?>.stride
    }
}

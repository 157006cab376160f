/// The last sample of each series, as the journal's next row builds on it. On the writer thread; another, at opening, reads rows back.
///
/// Rows hold differences to the samples before them, within a generation of `SeriesLimits.generationRows` rows. A cursor whose generation
/// is another is as good as zero.
struct SampleCursors {
    private struct Cursor: BitwiseCopyable {
        /// Milliseconds since 1970; `never` = no sample is known.
        var time: Int64
        /// Of its values in `values`.
        var start: UInt32
        var generation: UInt32
        var width: UInt16
    }

    static let never = Int64.min

    private var firstID: UInt32 = 0
    /// By id less `firstID`.
    private var cursors: [Cursor] = []
    private var values: [Double] = []
    private(set) var generation: UInt32 = 1

    /// Makes room for a series. Ids ascend.
    mutating func add(_ id: UInt32, width: Int) {
        if cursors.isEmpty { firstID = id }
        while firstID + UInt32(cursors.count) <= id {
            cursors.append(Cursor(time: Self.never, start: UInt32(clamping: values.count), generation: 0, width: 0))
        }
        cursors[cursors.count - 1].width = UInt16(clamping: width)
        values.append(contentsOf: repeatElement(0, count: width))
    }

    /// Forgets the series from `id` on, which are the newest.
    mutating func remove(from id: UInt32) {
        guard id >= firstID, Int(id - firstID) < cursors.count else { return }
        values.removeLast(values.count - Int(cursors[Int(id - firstID)].start))
        cursors.removeLast(cursors.count - Int(id - firstID))
    }

    /// Whether the series is known, and has this width.
    func contains(_ id: UInt32, width: Int) -> Bool {
        id >= firstID && Int(id - firstID) < cursors.count && Int(cursors[Int(id - firstID)].width) == width
    }

    /// From here on every series begins at zero.
    mutating func beginGeneration() { generation &+= 1 }

    @inline(__always)
    func lastTime(_ id: UInt32) -> Int64 { cursors[Int(id - firstID)].time }

    @inline(__always)
    mutating func set(_ id: UInt32, time: Int64) { cursors[Int(id - firstID)].time = time }

    /// The value that a column's next one is the difference to.
    @inline(__always)
    func lastValue(_ id: UInt32, _ column: Int) -> Double {
        let cursor = cursors[Int(id - firstID)]
        return cursor.generation == generation ? values[Int(cursor.start) + column] : 0
    }

    /// `column`s of one sample are set in order, from the first to the last.
    @inline(__always)
    mutating func set(_ id: UInt32, _ column: Int, of width: Int, _ value: Double) {
        let start = Int(cursors[Int(id - firstID)].start)
        if cursors[Int(id - firstID)].generation != generation {
            for other in 0..<width { values[start + other] = 0 }
            cursors[Int(id - firstID)].generation = generation
        }
        values[start + column] = value
    }

    var memoryBytes: Int { cursors.capacity * MemoryLayout<Cursor>.stride + values.capacity * 8 }
}

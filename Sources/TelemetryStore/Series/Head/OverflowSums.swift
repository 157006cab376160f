internal import Primitives
import TelemetryModel

/// Series above the bound of their family, as one series for each family, kind and bounds: its values are the sums of theirs, so that
/// totals stay exact. On the writer thread.
///
/// Each member's last values are remembered by a hash of its identity, bounded in number. A counter adds its increases, resets added
/// back; the first sample of a member adds all of it. A gauge adds its changes. All of it outlives an orderly restart (`OverflowTable`).
/// After a kill nothing of this is known: sums begin anew, which is a reset like any other, and for `settling` the first sample of a
/// counter that began before adds nothing, because the sums before had it.
struct OverflowSums {
    private struct Member {
        var series: UInt32
        var last: [Double]
    }

    private struct Sum {
        var values: [Double]
        var latest: Int64
        var isChanged: Bool
    }

    /// What is kept of one series between two lives of the file.
    struct Saved {
        var number: UInt32
        var values: [Double]
        /// Hashes and last values.
        var members: [(UInt64, [Double])] = []
    }

    static let label = "skein_overflow"
    private static let settling: Int64 = 300_000

    private let membersMax: Int
    private let opened: Int64
    private var members: [UInt64: Member] = [:]
    private var sums: [UInt32: Sum] = [:]
    /// Overflow series that the file had when it was opened, without their members.
    private var restored: Set<UInt32> = []
    /// Of members' hashes: the file's, so that they mean the same in its next life.
    private(set) var seed = UInt64.random(in: .min ... .max)

    init(membersMax: Int, opened: Int64) {
        self.membersMax = membersMax
        self.opened = opened
    }

    mutating func noteRestored(_ series: UInt32) { if sums[series] == nil { restored.insert(series) } }

    /// Goes on where the last life of the file ended. Before the first sample.
    mutating func restore(_ seed: UInt64, _ saved: [Saved]) {
        self.seed = seed
        for one in saved where members.count + one.members.count <= membersMax {
            sums[one.number] = Sum(values: one.values, latest: Int64.min, isChanged: false)
            for (member, last) in one.members { members[member] = Member(series: one.number, last: last) }
        }
    }

    /// Everything that the next life of the file goes on with.
    var all: [Saved] {
        var saved = sums.mapValues { Saved(number: 0, values: $0.values) }
        for (hash, member) in members { saved[member.series]?.members.append((hash, member.last)) }
        return saved.map { Saved(number: $0, values: $1.values, members: $1.members) }.sorted { $0.number < $1.number }
    }

    /// About what `all` takes in the file.
    var byteCount: Int { members.values.reduce(0) { $0 + ($1.last.count + 1) * 8 } + sums.values.reduce(0) { $0 + $1.values.count * 8 } }

    /// The hash that an identity is known by as a member.
    func member(_ bytes: [UInt8], _ range: Range<Int>) -> UInt64 { ByteHash.hash(bytes, range, seed: seed) }

    /// The identity of the series that takes what is above the bound.
    static func identity(of reader: SeriesIdentityReader, family: [UInt8]) -> [UInt8] {
        var bytes = Array(reader.bytes[..<reader.labelsStart])
        SeriesIdentity.append(LabelSet.metricName.utf8, to: &bytes)
        SeriesIdentity.append(family, to: &bytes)
        SeriesIdentity.append(label.utf8, to: &bytes)
        SeriesIdentity.append("true".utf8, to: &bytes)
        return bytes
    }

    /// What became of a sample.
    enum Addition { case ofNewMember, ofMember, refused }

    /// Adds a sample of a member; refused = there are too many members. `created`: see `SeriesBatch.Point`.
    mutating func add(_ hash: UInt64, to series: UInt32, _ values: [Double], isGauge: Bool, time: Int64, created: Int64) -> Addition {
        let known = members[hash]
        guard known != nil || members.count < membersMax else { return .refused }
        let isEnd = values.last.map(SeriesSamples.isStale) ?? true
        var sum = sums[series] ?? Sum(values: [Double](repeating: 0, count: values.count), latest: time, isChanged: true)
        guard sum.values.count == values.count else { return .refused }
        let isSettling = known == nil && !isGauge && restored.contains(series) && time < opened + Self.settling && created < opened
        if !isEnd || isGauge, !isSettling {
            // One column that falls means that all began anew.
            let last = known?.last ?? [Double](repeating: 0, count: values.count)
            let isReset = !isGauge && zip(values, last).contains { $0 < $1 }
            for column in values.indices {
                sum.values[column] += (isEnd ? 0 : values[column]) - (isReset ? 0 : last[column])
            }
        }
        sum.latest = max(sum.latest, time)
        sum.isChanged = true
        sums[series] = sum
        if isEnd { members[hash] = nil } else { members[hash] = Member(series: series, last: values) }
        return known == nil ? .ofNewMember : .ofMember
    }

    /// The sums that have changed, each once.
    mutating func takeChanged() -> [(series: UInt32, time: Int64, values: [Double])] {
        var changed: [(series: UInt32, time: Int64, values: [Double])] = []
        for (series, sum) in sums where sum.isChanged {
            changed.append((series, sum.latest, sum.values))
            sums[series]?.isChanged = false
        }
        return changed.sorted { $0.series < $1.series }
    }

    /// A commit failed: what it took is to be told again.
    mutating func retell() { for series in sums.keys { sums[series]?.isChanged = true } }
}

import TelemetryModel

/// The points of one group commit on their way from batches to sections: each is given its series' number, or refused and counted.
/// On the writer thread.
struct SeriesIntake {
    private enum Place {
        case series(UInt32)
        /// In the sums of this series.
        case overflow(UInt32, isGauge: Bool, member: UInt64)
        case refused(SeriesStatistics.Drop)
    }

    private struct SectionKey: Hashable {
        var time: Int64
        var width: Int
    }

    private let configuration: SeriesConfiguration
    private let index: SharedIndex
    private let families: FamilyCounts
    private(set) var overflow: OverflowSums
    /// The next new series.
    private var nextID: UInt32
    private var floor = Int64.min
    private var latest = Int64.max

    private(set) var staged = StagedSeries()
    private(set) var sections: [HeadSection] = []
    private var sectionNumbers: [SectionKey: Int] = [:]
    private var places: [Place] = []
    /// Times of cursors before this group.
    private var undo: [(id: UInt32, time: Int64)] = []
    /// In the order in which they came.
    private(set) var exemplars: [(place: ExemplarPlace, exemplar: SeriesExemplar)] = []
    /// Exemplars of series that are refused or summed up, or of times that are.
    private(set) var exemplarsDropped: UInt64 = 0
    private(set) var accepted: UInt64 = 0
    /// By the overflow series they were for; and of metrics whose series cannot be summed up.
    private(set) var overflows: [UInt32: SeriesOverflow] = [:]
    private(set) var nativeOverflows: [[UInt8]: SeriesOverflow] = [:]
    private(set) var dropped: [SeriesStatistics.Drop: UInt64] = [:]

    init(_ configuration: SeriesConfiguration, _ index: SharedIndex, _ families: FamilyCounts, _ overflow: OverflowSums) {
        self.configuration = configuration
        self.index = index
        self.families = families
        self.overflow = overflow
        nextID = index.look { $0.endID }
    }

    /// Before the first batch of a group. Samples before `floor` are too late.
    mutating func begin(floor: Int64) {
        let now = configuration.now()
        let ageMax = configuration.tiers.first?.ageMax ?? 0
        self.floor = ageMax > 0 ? max(floor, now - ageMax) : floor
        latest = now + configuration.aheadMax
    }

    // MARK: Points

    mutating func append(_ batch: SeriesBatch, _ cursors: inout SampleCursors) {
        places.removeAll(keepingCapacity: true)
        for identity in batch.identities { places.append(place(identity, batch, &cursors)) }
        for point in batch.points {
            switch places[Int(point.identity)] {
            case .series(let id): append(point, batch, id, Int(batch.identities[Int(point.identity)].columns), &cursors)
            case .overflow(let id, let isGauge, let member): addToOverflow(point, batch, id, isGauge, member)
            case .refused(let drop): dropped[drop, default: 0] += 1
            }
        }
        for (identity, exemplar) in batch.exemplars { append(exemplar, of: batch.identities[Int(identity)], places[Int(identity)], batch) }
    }

    private mutating func append(
        _ exemplar: SeriesExemplar, of identity: SeriesBatch.Identity, _ place: Place, _ batch: SeriesBatch
    ) {
        guard case .series(let id) = place, exemplar.time <= latest else {
            exemplarsDropped += 1
            return
        }
        var bucket = 0
        if identity.kind == .classicHistogram {
            let bytes = batch.identityBytes[Int(identity.offset)..<Int(identity.offset) + Int(identity.count)]
            let bounds = (try? SeriesIdentityReader(Array(bytes)))?.bounds ?? []
            bucket = bounds.firstIndex { exemplar.value <= $0 } ?? bounds.count
        }
        exemplars.append((ExemplarPlace(series: id, bucket: UInt16(clamping: bucket)), exemplar))
    }

    private mutating func append(
        _ point: SeriesBatch.Point, _ batch: SeriesBatch, _ id: UInt32, _ width: Int, _ cursors: inout SampleCursors
    ) {
        let last = cursors.lastTime(id)
        if let drop = drop(point.time, after: last) {
            dropped[drop, default: 0] += 1
            return
        }
        undo.append((id, last))
        if point.created > 0, point.created < point.time, width > 0 { appendZero(point, id, width, after: last, batch) }
        let section = sectionNumber(point.time, width)
        sections[section].ids.append(id)
        switch width {
        case 1: sections[section].values.append(point.value)
        case 0: sections[section].natives.append(batch.natives[Int(point.payload)])
        default: sections[section].values.append(contentsOf: batch.numbers[Int(point.payload)..<Int(point.payload) + width])
        }
        cursors.set(id, time: point.time)
        accepted += 1
    }

    @inline(__always)
    private func drop(_ time: Int64, after last: Int64) -> SeriesStatistics.Drop? {
        if time > last, time >= floor, time <= latest { return nil }
        if time > latest { return .future }
        if time < floor { return .late }
        return time == last ? .duplicate : .outOfOrder
    }

    /// Where a series began to count since its last sample, that is a sample of its own: zero. What it had counted by its first real
    /// sample is then an increase. It is placed in what is not sealed.
    private mutating func appendZero(_ point: SeriesBatch.Point, _ id: UInt32, _ width: Int, after last: Int64, _ batch: SeriesBatch) {
        guard batch.identities[Int(point.identity)].kind != .gauge, point.created > last else { return }
        let time = max(point.created, floor)
        guard time > last, time < point.time else { return }
        let section = sectionNumber(time, width)
        sections[section].ids.append(id)
        sections[section].values.append(contentsOf: repeatElement(0, count: width))
    }

    @inline(__always)
    private mutating func sectionNumber(_ time: Int64, _ width: Int) -> Int {
        if let last = sections.last, last.time == time, last.width == width { return sections.count - 1 }
        let key = SectionKey(time: time, width: width)
        if let known = sectionNumbers[key] { return known }
        sections.append(HeadSection(time: time, width: width))
        sectionNumbers[key] = sections.count - 1
        return sections.count - 1
    }

    // MARK: Series

    private mutating func place(_ identity: SeriesBatch.Identity, _ batch: SeriesBatch, _ cursors: inout SampleCursors) -> Place {
        let (offset, count) = (Int(identity.offset), Int(identity.count))
        if let known = index.look({ $0.find(identity.hash, batch.identityBytes, at: offset, count: count) }) { return .series(known) }
        let bytes = batch.identityBytes[offset..<offset + count]
        if let known = staged.find(identity.hash, bytes) { return .series(known) }
        guard let reader = try? SeriesIdentityReader(Array(bytes)), let labels = try? reader.labels(),
            SeriesIdentity.columns(reader.kind, bounds: reader.bounds.count) == Int(identity.columns)
        else { return .refused(.malformed) }
        let family = Array((labels[LabelSet.metricName] ?? "").utf8)
        guard nextID < SeriesLimits.idMax else { return .refused(.overflow) }
        guard !families.take(family, all: index.look { $0.liveCount } + staged.entries.count) else {
            return .series(stage(reader, identity.hash, family, &cursors))
        }
        guard reader.kind != .nativeHistogram else {
            nativeOverflows[family, default: SeriesOverflow()] += SeriesOverflow(series: 1, refused: 1)
            return .refused(.overflow)
        }
        let sum = overflowSeries(reader, family, &cursors)
        let member = overflow.member(batch.identityBytes, offset..<offset + count)
        return .overflow(sum, isGauge: RollupRule(reader.kind, name: family) == .gauge, member: member)
    }

    private mutating func stage(
        _ reader: SeriesIdentityReader, _ hash: UInt64, _ family: [UInt8], _ cursors: inout SampleCursors
    ) -> UInt32 {
        let id = nextID
        nextID += 1
        let pieces = index.change { $0.intern(reader) }
        staged.append(StagedSeries.Entry(id: id, identity: reader, hash: hash, family: family, first: configuration.now(), pieces: pieces))
        cursors.add(id, width: SeriesIdentity.columns(reader.kind, bounds: reader.bounds.count))
        return id
    }

    private mutating func overflowSeries(_ reader: SeriesIdentityReader, _ family: [UInt8], _ cursors: inout SampleCursors) -> UInt32 {
        let bytes = OverflowSums.identity(of: reader, family: family)
        let hash = SeriesIndex.hash(bytes)
        if let known = index.look({ $0.find(hash, bytes, at: 0, count: bytes.count) }) ?? staged.find(hash, bytes[...]) { return known }
        guard let own = try? SeriesIdentityReader(bytes) else { return 0 }
        return stage(own, hash, family, &cursors)
    }

    private mutating func addToOverflow(
        _ point: SeriesBatch.Point, _ batch: SeriesBatch, _ id: UInt32, _ isGauge: Bool, _ member: UInt64
    ) {
        let width = Int(batch.identities[Int(point.identity)].columns)
        let values = width == 1 ? [point.value] : Array(batch.numbers[Int(point.payload)..<Int(point.payload) + width])
        if let drop = drop(point.time, after: SampleCursors.never) {
            dropped[drop, default: 0] += 1
            return
        }
        let addition = overflow.add(member, to: id, values, isGauge: isGauge, time: point.time, created: point.created)
        let isRefused = addition == .refused
        overflows[id, default: SeriesOverflow()] += SeriesOverflow(
            series: addition == .ofNewMember ? 1 : 0, samples: isRefused ? 0 : 1, refused: isRefused ? 1 : 0)
        if isRefused { dropped[.overflow, default: 0] += 1 } else { accepted += 1 }
    }

    // MARK: The end of a group

    /// All batches are in: sums of overflow series become samples, and sections are in order of time.
    mutating func finish(_ cursors: inout SampleCursors) {
        for (id, time, values) in overflow.takeChanged() {
            // Members of several senders tell their own times.
            let time = max(time, cursors.lastTime(id) &+ (cursors.lastTime(id) == SampleCursors.never ? 0 : 1))
            undo.append((id, cursors.lastTime(id)))
            let section = sectionNumber(time, values.count)
            sections[section].ids.append(id)
            sections[section].values.append(contentsOf: values)
            cursors.set(id, time: time)
        }
        let order = sections.indices.sorted { (sections[$0].time, $0) < (sections[$1].time, $1) }
        sections = order.map { sections[$0] }
        for index in sections.indices { sections[index].sort() }
    }

    /// Committed, or given up: forgets the group.
    mutating func removeAll() {
        staged.removeAll()
        sections.removeAll()
        sectionNumbers.removeAll(keepingCapacity: true)
        undo.removeAll(keepingCapacity: true)
        exemplars.removeAll(keepingCapacity: true)
        exemplarsDropped = 0
        accepted = 0
        overflows.removeAll(keepingCapacity: true)
        nativeOverflows.removeAll(keepingCapacity: true)
        dropped = [:]
    }

    /// Not committed: cursors and numbers are as before the group.
    mutating func rollBack(_ cursors: inout SampleCursors) {
        for (id, time) in undo.reversed() { cursors.set(id, time: time) }
        if let first = staged.entries.first {
            cursors.remove(from: first.id)
            nextID = first.id
        }
        for entry in staged.entries { families.giveBack(entry.family) }
        overflow.retell()
        removeAll()
    }
}

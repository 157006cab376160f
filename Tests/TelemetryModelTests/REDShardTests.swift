import Glibc
import Primitives
import Synchronization
import TelemetryModel
import Testing

@Suite struct REDShardTests {
    struct Model: Equatable {
        var requests: UInt64 = 0
        var duration = [UInt64](repeating: 0, count: HistogramBuckets.count)
        var durationSum: UInt64 = 0
        var responseSum: UInt64 = 0
    }

    /// Pairs that share their halves with others.
    static func pair(_ number: UInt32) -> LabelPair {
        LabelPair(source: SourceLabelsID(number % 4), destination: DestinationLabelsID(number / 4))
    }

    static func key(_ labels: UInt32, _ code: UInt16 = 200, _ side: ProxySide = .outbound) -> SeriesKey {
        SeriesKey(labels: pair(labels), responseCode: code, flags: [], side: side)
    }

    static func contents(_ shard: REDShard) -> [SeriesKey: Model] {
        var found: [SeriesKey: Model] = [:]
        shard.read { series in
            #expect(found[series.key] == nil, "a series is there twice")
            found[series.key] = Model(
                requests: series.requests, duration: series.duration.buckets, durationSum: series.duration.sum,
                responseSum: series.responseBytes.sum)
        }
        return found
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func behavesAsADictionary(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let shard = REDShard(seriesMax: 40)
        var model: [SeriesKey: Model] = [:]
        var recorded: UInt64 = 0
        var expired: UInt64 = 0
        for step in 0..<20_000 {
            if random.below(200) != 0 {
                let key = Self.key(random.below(30), [200, 503][Int(random.below(2))], random.below(2) == 0 ? .inbound : .outbound)
                var sample = REDSample()
                sample.durationMicroseconds = random.next() >> UInt64(20 + random.below(44))
                sample.responseBytes = UInt64(random.below(10_000))
                shard.record(key, sample)
                recorded += 1
                let target = model[key] != nil || model.keys.filter { $0.labels != .overflow }.count < 38
                    ? key : SeriesKey(labels: .overflow, responseCode: 0, flags: [], side: key.side)
                model[target, default: Model()].requests += 1
                model[target, default: Model()].duration[HistogramBuckets.index(ofMicroseconds: sample.durationMicroseconds)] += 1
                model[target, default: Model()].durationSum &+= sample.durationMicroseconds
                model[target, default: Model()].responseSum &+= sample.responseBytes
            } else {
                // Half of what is named has moved on since it was looked at, and stays.
                let idle = model.filter { $0.key.labels != .overflow && random.below(3) == 0 }
                    .map { (key: $0.key, requests: $0.value.requests + UInt64(random.below(2))) }
                shard.expire(idle)
                for (key, requests) in idle where model[key]?.requests == requests {
                    expired += requests
                    model[key] = nil
                }
            }
            if step % 97 == 0 {
                let contents = Self.contents(shard)
                guard contents == model else {
                    Issue.record("seed \(seed), step \(step): \(contents.count) series, expected \(model.count)")
                    return
                }
            }
        }
        #expect(Self.contents(shard).values.reduce(0) { $0 + $1.requests } + expired == recorded, "a request was counted nowhere")
        #expect(shard.overflowed.load(ordering: .relaxed) > 0)
    }

    /// The budget's last rows are the overflow's for good: expiring one must not leave later requests without a row.
    @Test func overflowIsNeverLost() {
        let shard = REDShard(seriesMax: 4)
        var recorded: UInt64 = 0
        func record(_ labels: UInt32, _ side: ProxySide) {
            shard.record(Self.key(labels, 200, side), REDSample())
            recorded += 1
        }
        for labels in 1...4 as ClosedRange<UInt32> {
            record(labels, .outbound)
            record(labels, .inbound)
        }
        var expired: UInt64 = 0
        for round in 0..<20 as Range<UInt32> {
            var idle: [(key: SeriesKey, requests: UInt64)] = []
            shard.read { idle.append(($0.key, $0.requests)) }
            let before = Self.contents(shard)
            shard.expire(idle)
            let after = Self.contents(shard)
            expired += before.filter { after[$0.key] == nil }.values.reduce(0) { $0 + $1.requests }
            for labels in 1...6 as ClosedRange<UInt32> {
                record(100 + round * 10 + labels, .outbound)
                record(100 + round * 10 + labels, .inbound)
            }
        }
        #expect(Self.contents(shard).values.reduce(0) { $0 + $1.requests } + expired == recorded)
    }

    @Test func keysSurvive() throws {
        let shard = REDShard(seriesMax: 10)
        var key = Self.key(7, 503, .inbound)
        key.flags = [.noHealthyUpstream, .faultInjected]
        key.isGRPC = true
        key.grpcStatus = 14
        shard.record(key, REDSample())
        shard.record(key, REDSample())
        var found: SeriesSnapshot?
        shard.read { found = $0 }
        let series = try #require(found)
        #expect(series.key == key && series.requests == 2)
    }

    /// A scrape in the middle of traffic sees whole requests: every histogram's buckets add up to the count.
    @Test func aReaderNeverSeesHalfARequest() {
        let shard = REDShard(seriesMax: 64)
        let writer = Writer(shard, 400_000)
        writer.start()
        var reads = 0
        var torn = 0
        while !writer.isFinished.load(ordering: .acquiring) {
            shard.read { series in
                reads += 1
                for histogram in [series.duration, series.requestBytes, series.responseBytes]
                where histogram.buckets.reduce(0, +) != series.requests { torn += 1 }
                if series.responseBytes.sum != series.requests * 3 { torn += 1 }
            }
            sched_yield()
        }
        writer.join()
        #expect(torn == 0, "of \(reads) series read")
        #expect(reads > 0)
        #expect(Self.contents(shard).values.reduce(0) { $0 + $1.requests } == 400_000)
    }
}

/// `@unchecked Sendable`: the thread's handle is used by the creator only.
private final class Writer: @unchecked Sendable {
    let shard: REDShard
    let count: Int
    let isFinished = Atomic<Bool>(false)
    private var thread: pthread_t = 0

    init(_ shard: REDShard, _ count: Int) {
        self.shard = shard
        self.count = count
    }

    func start() {
        unsafe pthread_create(&thread, nil, { argument in
            if let argument = unsafe argument { unsafe Unmanaged<Writer>.fromOpaque(argument).takeRetainedValue().run() }
            return nil
        }, Unmanaged.passRetained(self).toOpaque())
    }

    func join() { pthread_join(thread, nil) }

    private func run() {
        for number in 0..<count {
            var sample = REDSample()
            sample.durationMicroseconds = UInt64(number) * 31 % 5_000_000
            sample.requestBytes = UInt64(number % 5000)
            sample.responseBytes = 3
            shard.record(REDShardTests.key(UInt32(number % 50)), sample)
        }
        isFinished.store(true, ordering: .releasing)
    }
}

@Suite struct HistogramBucketsTests {
    static func search(_ value: Double) -> Int { HistogramBuckets.bounds.firstIndex { value <= $0 } ?? HistogramBuckets.bounds.count }

    @Test func everyBoundIsInclusive() {
        #expect(HistogramBuckets.bounds.count + 1 == HistogramBuckets.count && HistogramBuckets.bounds == HistogramBuckets.bounds.sorted())
        for (index, bound) in HistogramBuckets.bounds.enumerated() {
            #expect(HistogramBuckets.index(ofMicroseconds: UInt64(bound * 1000)) == index)
            #expect(HistogramBuckets.index(ofMicroseconds: UInt64(bound * 1000) + 1) == index + 1)
            if bound >= 1 {
                #expect(
                    HistogramBuckets.index(ofBytes: UInt64(bound)) == index
                        && HistogramBuckets.index(ofBytes: UInt64(bound) + 1) == index + 1)
            }
        }
        #expect(HistogramBuckets.index(ofBytes: 0) == 0 && HistogramBuckets.index(ofMicroseconds: 0) == 0)
        #expect(HistogramBuckets.index(ofBytes: .max) == 19 && HistogramBuckets.index(ofMicroseconds: .max) == 19)
    }

    @Test(arguments: [1, 2] as [UInt64])
    func agreesWithALinearSearch(seed: UInt64) {
        var random = RandomSource(seed: seed)
        for _ in 0..<50_000 {
            let value = random.next() >> UInt64(12 + random.below(52))
            guard HistogramBuckets.index(ofBytes: value) == Self.search(Double(value)),
                HistogramBuckets.index(ofMicroseconds: value) == Self.search(Double(value) / 1000)
            else {
                Issue.record("seed \(seed): \(value)")
                return
            }
        }
    }
}

@Suite struct RequestRecordViewTests {
    static func bytes(_ texts: [[UInt8]?], count: Int? = nil) -> [UInt8] {
        var record = RequestRecord()
        record.responseCode = 201
        record.textCount = UInt8(count ?? texts.count)
        var bytes = unsafe withUnsafeBytes(of: record) { unsafe Array($0) }
        bytes += [UInt8](repeating: 0, count: RequestRecordView.lengthsOffset - bytes.count)
        for text in texts {
            let length = text.map { UInt16($0.count) } ?? RequestRecordView.absentLength
            bytes += [UInt8(truncatingIfNeeded: length), UInt8(truncatingIfNeeded: length >> 8)]
        }
        for text in texts { bytes += text ?? [] }
        return bytes
    }

    /// An entry cut anywhere is refused, never read past; a whole one gives its texts back.
    @Test func everyTruncationIsRefused() {
        let texts: [[UInt8]?] = [[1, 2, 3], nil, [], [4]]
        let whole = Self.bytes(texts)
        for count in 0..<whole.count {
            let cut = Array(whole[..<count])
            let isRefused = unsafe RequestRecordView(cut.span.bytes) == nil
            #expect(isRefused, "\(count) bytes")
        }
        guard let view = unsafe RequestRecordView(whole.span.bytes) else {
            Issue.record("a whole entry was refused")
            return
        }
        #expect(view.record.responseCode == 201)
        for slot in 0..<6 {
            let name = RequestText(rawValue: UInt8(slot))
            var found: [UInt8]?
            if let text = view.text(name) {
                found = (0..<text.byteCount).map { unsafe text.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
            }
            #expect(found == (slot < 4 ? texts[slot] : nil))
        }
        let claims = unsafe RequestRecordView(Self.bytes(texts, count: 255).span.bytes) == nil
        #expect(claims, "more texts than there are")
    }
}

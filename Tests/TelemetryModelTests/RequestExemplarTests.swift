import Testing

@testable import TelemetryModel

/// What scrapes are told of the last sampled requests.
@Suite struct RequestExemplarTests {
    private func record(_ microseconds: UInt64, trace: UInt64, code: UInt16 = 200, isSampled: Bool = true) -> RequestRecord {
        var record = RequestRecord()
        record.responseCode = code
        record.isSampled = isSampled
        record.traceID = TraceID(high: 0, low: trace)
        record.times.downstreamSendEnd = microseconds * 1000
        record.startUnixNanoseconds = trace * 1_000_000_000
        return record
    }

    @Test func everyBucketKeepsItsLast() {
        let exemplars = RequestExemplars()
        for (microseconds, trace) in [(400, 1), (900, 2), (450, 3), (2_000_000, 4)] as [(UInt64, UInt64)] {
            exemplars.note(record(microseconds, trace: trace))
        }
        exemplars.note(record(400, trace: 5, code: 503))
        exemplars.note(record(300, trace: 6, isSampled: false))
        exemplars.note(record(300, trace: 0))
        let latest = exemplars.latest()
        #expect(latest.count == 2)
        let good = latest[SeriesKey(record(0, trace: 1))] ?? []
        #expect(Set(good.map { "\($0.bucket) \($0.exemplar.traceID.low)" }) == ["0 3", "1 2", "10 4"])
    }

    /// However many series there are: bounded, and the youngest stay.
    @Test func theOlderHalfGoes() {
        let exemplars = RequestExemplars()
        let count = UInt64(RequestExemplars.bucketsMax) + 1
        for number in 1...count {
            var one = record(400, trace: number)
            one.labels = LabelPair(source: SourceLabelsID(UInt32(number)), destination: .none)
            exemplars.note(one)
        }
        let latest = exemplars.latest()
        #expect(latest.count <= RequestExemplars.bucketsMax && latest.count >= RequestExemplars.bucketsMax / 2)
        #expect(latest.values.joined().contains { $0.exemplar.traceID.low == count })
        #expect(!latest.values.joined().contains { $0.exemplar.traceID.low == 1 })
    }
}

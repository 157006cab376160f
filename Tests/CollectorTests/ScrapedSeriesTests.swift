import TelemetryModel
import TelemetryWire
import Testing

@testable import Collector

/// What a scrape adds to the store.
@Suite struct ScrapedSeriesTests {
    static let target = [LabelSet.Label("job", "demo"), LabelSet.Label("instance", "h:1")]

    /// Samples of a batch as `name{labels} value`, histograms as `[buckets] count sum`.
    static func lines(_ batch: SeriesBatch) throws -> [String] {
        try batch.points.map { point in
            let one = batch.identities[Int(point.identity)]
            let bytes = Array(batch.identityBytes[Int(one.offset)..<Int(one.offset + one.count)])
            let labels = try SeriesIdentityReader(bytes).labels()
            let rest = labels.labels.filter { !["__name__", "job", "instance"].contains($0.name) }.map { "\($0.name)=\($0.value)" }
            let name = (labels["__name__"] ?? "") + (rest.isEmpty ? "" : "{" + rest.joined(separator: ",") + "}")
            #expect(labels["job"] == "demo" && labels["instance"] == "h:1")
            if SeriesSamples.isStale(point.value) { return "\(name) ends" }
            guard one.kind == .classicHistogram else { return "\(name) \(one.kind) \(point.value)" }
            let numbers = batch.numbers[Int(point.payload)..<Int(point.payload) + Int(one.columns)].map { Int($0) }
            return "\(name) \(numbers)"
        }
    }

    static func read(_ series: inout ScrapedSeries, _ page: String, at time: Int64 = 1000) throws -> [String] {
        var batch = SeriesBatch()
        _ = try series.read(Array(page.utf8), isOpenMetrics: false, at: time, into: &batch)
        return try lines(batch)
    }

    @Test func kindsComeFromThePage() throws {
        var series = ScrapedSeries(target: Self.target)
        let page = """
            # TYPE a_total counter
            a_total{x="1"} 5
            # TYPE b gauge
            b 2.5
            c 7

            """
        #expect(try Self.read(&series, page) == ["a_total{x=1} counter 5.0", "b gauge 2.5", "c unknown 7.0"])
    }

    /// Only those that name a trace; without a time of their own they have the scrape's.
    @Test func exemplarsComeAlong() throws {
        var series = ScrapedSeries(target: Self.target)
        let page = """
            # TYPE h histogram
            h_bucket{le="1"} 2 # {trace_id="0123456789abcdef0123456789ABCDEF",span_id="00000000000000aa"} 0.5 1.5
            h_bucket{le="+Inf"} 5 # {trace_id="00000000000000bb"} 7
            h_sum 9
            h_count 5
            # TYPE c counter
            c_total 3 # {user="x"} 1 1.5
            c_total{a="b"} 3 # {trace_id="g123456789abcdef"} 1 1.5
            # EOF

            """
        var batch = SeriesBatch()
        _ = try series.read(Array(page.utf8), isOpenMetrics: true, at: 9000, into: &batch)
        #expect(batch.exemplars.map(\.exemplar) == [
            SeriesExemplar(
                time: 1500, value: 0.5, traceID: TraceID(high: 0x0123_4567_89AB_CDEF, low: 0x0123_4567_89AB_CDEF), spanID: SpanID(0xAA)),
            SeriesExemplar(time: 9000, value: 7, traceID: TraceID(high: 0, low: 0xBB), spanID: .none),
        ])
        #expect(batch.exemplars.allSatisfy { batch.identities[Int($0.identity)].kind == .classicHistogram })
    }

    @Test func histogramsBecomeVectors() throws {
        var series = ScrapedSeries(target: Self.target)
        let page = """
            # TYPE h histogram
            h_bucket{le="1"} 2
            h_bucket{le="+Inf"} 9
            h_bucket{le="5"} 5
            h_sum 30
            h_count 9

            """
        #expect(try Self.read(&series, page) == ["h [2, 3, 4, 9, 30]"])
        #expect(try Self.read(&series, page.replacing("5\"} 5", with: "5\"} 7")) == ["h [2, 5, 2, 9, 30]"])
    }

    @Test func aSeriesThatGoesEndsOnce() throws {
        var series = ScrapedSeries(target: Self.target)
        _ = try Self.read(&series, "a 1\nb 2\n")
        #expect(try Self.read(&series, "b 3\n") == ["b unknown 3.0", "a ends"])
        #expect(try Self.read(&series, "b 3\n") == ["b unknown 3.0"])
        #expect(try Self.read(&series, "a 4\nb 3\n") == ["a unknown 4.0", "b unknown 3.0"])
    }

    @Test func aPageWithAFaultEndsAll() throws {
        var series = ScrapedSeries(target: Self.target)
        _ = try Self.read(&series, "a 1\nb 2\n")
        var batch = SeriesBatch()
        #expect(throws: ExpositionFault.self) { try series.read(Array("a 2\nb x\n".utf8), isOpenMetrics: false, at: 2, into: &batch) }
        #expect(try Self.lines(batch) == ["a ends", "b ends"])
        #expect(try Self.read(&series, "a 1\n") == ["a unknown 1.0"])
    }

    @Test func aTargetThatDoesNotAnswerEnds() throws {
        var series = ScrapedSeries(target: Self.target)
        _ = try Self.read(&series, "a 1\n")
        var batch = SeriesBatch()
        series.end(at: 5, into: &batch)
        series.end(at: 6, into: &batch)
        #expect(try Self.lines(batch) == ["a ends"])
    }

    @Test func labelsOfTheTargetWin() throws {
        var series = ScrapedSeries(target: Self.target)
        #expect(try Self.read(&series, "a{job=\"mine\"} 1\n") == ["a{exported_job=mine} unknown 1.0"])
    }

    /// The first failure of a service is the one that matters: what a new counter has counted is an increase, where somebody knows that
    /// it was not there before. A series that was away may have counted before.
    @Test func whatIsNewBeganAfterThePageBefore() throws {
        var series = ScrapedSeries(target: Self.target)
        func created(_ page: String, at time: Int64, newSince: Int64) throws -> [Int64] {
            var batch = SeriesBatch()
            _ = try series.read(Array(page.utf8), isOpenMetrics: false, at: time, newSince: newSince, into: &batch)
            return batch.points.filter { !SeriesSamples.isStale($0.value) }.map(\.created)
        }
        let page = "# TYPE a_total counter\na_total{c=\"1\"} 5\n"
        let histogram = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# TYPE g gauge\ng 1\n"
        #expect(try created(page, at: 1000, newSince: 900) == [900])
        // A gauge does not count; the histogram comes last in a batch.
        #expect(try created(page + "a_total{c=\"2\"} 1\n" + histogram, at: 2000, newSince: 1000) == [900, 1000, 0, 1000])
        #expect(try created("", at: 3000, newSince: 2000) == [])
        #expect(try created(page, at: 4000, newSince: 3000) == [900])
        var others = ScrapedSeries(target: Self.target)
        var batch = SeriesBatch()
        _ = try others.read(Array(page.utf8), isOpenMetrics: false, at: 1000, into: &batch)
        #expect(batch.points.map(\.created) == [0], "of a scraped target nothing is known")
    }

    /// Labels that change at every scrape would fill the memory otherwise.
    @Test func whatHasEndedIsForgotten() throws {
        var series = ScrapedSeries(target: Self.target)
        let pages = 12
        for page in 0..<pages {
            var text = "stays 1\n"
            for index in 0..<20_000 { text += "a{p=\"\(page)\",i=\"\(index)\"} 1\n" }
            var batch = SeriesBatch()
            let read = try series.read(Array(text.utf8), isOpenMetrics: false, at: Int64(page), into: &batch)
            #expect(read.samples == 20_001)
            #expect(batch.points.count == (page == 0 ? 20_001 : 40_001))
        }
    }

    /// Prometheus: `honor_labels`, `honor_timestamps`, `sample_limit`.
    @Test func aJobSaysWhatCounts() throws {
        let page = Array("a{job=\"own\",zone=\"z\"} 1 500\nb 2\n".utf8)
        var honoring = ScrapedSeries(target: Self.target, honorsLabels: true, honorsTimestamps: false)
        var batch = SeriesBatch()
        _ = try honoring.read(page, isOpenMetrics: false, at: 1000, into: &batch)
        let identity = batch.identities[0]
        let labels = try SeriesIdentityReader(Array(batch.identityBytes[..<Int(identity.count)])).labels()
        #expect(labels["job"] == "own" && labels["exported_job"] == nil && labels["instance"] == "h:1" && labels["zone"] == "z")
        #expect(batch.points.map(\.time) == [1000, 1000])
        var limited = ScrapedSeries(target: Self.target, sampleLimit: 1)
        #expect(throws: ExpositionFault.self) { try Self.read(&limited, "a 1\nb 2\n") }
        #expect(try Self.read(&limited, "a 1\n") == ["a unknown 1.0"])
    }
}

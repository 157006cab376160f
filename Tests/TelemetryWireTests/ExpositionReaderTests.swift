import Primitives
import TelemetryModel
import Testing

@testable import TelemetryWire

/// What a scraper makes of a page. A page that is read wrongly is a dashboard that is wrong, in silence.
@Suite struct ExpositionReaderTests {
    struct Read: Equatable {
        var samples: [String: Double] = [:]
        var kinds: [String: String] = [:]
        var times: [String: Int64] = [:]
        var exemplars: [String] = []
    }

    static func read(_ page: String, isOpenMetrics: Bool = false) throws -> Read {
        var reader = ExpositionReader(Array(page.utf8), isOpenMetrics: isOpenMetrics)
        var read = Read()
        while let entry = try reader.next() {
            switch entry {
            case .kind(let family, let kind): read.kinds[family] = kind
            case .help, .unit: break
            case .sample(let sample):
                let labels = try reader.labels(sample.series)
                let text = labels.labels.map { "\($0.name)=\($0.value)" }.joined(separator: ",")
                read.samples[text] = sample.value
                read.times[text] = sample.timeMilliseconds
                if let exemplar = sample.exemplar { read.exemplars.append(reader.text(exemplar)) }
            }
        }
        return read
    }

    @Test func readsSamplesOfTheTextFormat() throws {
        let page = """
            # HELP http_requests_total The total number of HTTP requests.
            # TYPE http_requests_total counter
            http_requests_total{method="post",code="200"} 1027 1395066363000
            http_requests_total{method="post",code="400"}    3 1395066363000

            # A comment, and a label with escapes:
            msdos_file_access_time_seconds{path="C:\\\\DIR\\\\FILE.TXT",error="Cannot find file:\\n\\"FILE.TXT\\""} 1.458255915e9
            metric_without_timestamp_and_labels 12.47
              something_weird{problem="division by zero",} +Inf -3982045
            rpc{quantile = "0.5" , } NaN
            """
        let read = try Self.read(page)
        #expect(read.samples["__name__=http_requests_total,code=200,method=post"] == 1027)
        #expect(read.times["__name__=http_requests_total,code=400,method=post"] == 1_395_066_363_000)
        let escaped = "__name__=msdos_file_access_time_seconds,error=Cannot find file:\n\"FILE.TXT\",path=C:\\DIR\\FILE.TXT"
        #expect(read.samples[escaped] == 1.458255915e9)
        #expect(read.samples["__name__=metric_without_timestamp_and_labels"] == 12.47)
        #expect(read.samples["__name__=something_weird,problem=division by zero"] == .infinity)
        #expect(read.times["__name__=something_weird,problem=division by zero"] == -3_982_045)
        #expect(read.samples["__name__=rpc,quantile=0.5"]?.isNaN == true)
        #expect(read.kinds == ["http_requests_total": "counter"])
    }

    @Test func readsQuotedNames() throws {
        let read = try Self.read("{\"my.metric\",\"a.b\"=\"1\",le=\"0.5\"} 7\n")
        #expect(read.samples == ["__name__=my.metric,a.b=1,le=0.5": 7])
    }

    @Test func readsOpenMetricsWithExemplars() throws {
        let page = """
            # TYPE foo histogram
            # UNIT foo seconds
            foo_bucket{le="0.5"} 17 1.5 # {trace_id="0af7"} 0.43 1520879607.789
            foo_count 17
            # EOF

            """
        let read = try Self.read(page, isOpenMetrics: true)
        #expect(read.samples["__name__=foo_bucket,le=0.5"] == 17)
        #expect(read.times["__name__=foo_bucket,le=0.5"] == 1500)
        #expect(read.exemplars == ["{trace_id=\"0af7\"} 0.43 1520879607.789"])
    }

    @Test(arguments: [
        ("a 1", "does not end in a line feed"), ("a 1\n", "does not end in # EOF"), ("# EOF\na 1\n", "behind # EOF"),
        ("\n# EOF\n", "an empty line"), ("a 1 x\n# EOF\n", "no timestamp"),
    ])
    func refusesWhatIsNotOpenMetrics(_ page: String, _ reason: String) {
        let error = #expect(throws: ExpositionFault.self) { try Self.read(page, isOpenMetrics: true) }
        #expect(error?.reason.contains(reason) == true, "\(String(describing: error))")
    }

    @Test(arguments: [
        ("a", "no number"), ("a b", "no number"), ("a 1 b", "no timestamp"), ("a 1 1.5", "no timestamp"), ("a 1 2 3", "behind the sample"),
        ("{} 1", "without a name"), ("a{b=1} 1", "not quoted"), ("a{b=\"1} 1", "closing brace"),
        ("a{b=\"1\" c=\"2\"} 1", "expected , or }"),
        ("a{1b=\"1\"} 1", "no label's name"), ("1a 1", "no metric's name"), ("a{b=\"1\",b=\"2\"} 1", "twice"), ("a{b} 1", "expected ="),
        ("# TYPE a", "wants one word"), ("# TYPE", "without a metric's name"), ("a 0x", "no number"), ("a nan(1)", "no number"),
        ("a 1 99999999999999999999", "no timestamp"), ("a 1_000", "no number"),
    ])
    func saysWhatIsWrong(_ line: String, _ reason: String) {
        let error = #expect(throws: ExpositionFault.self) { try Self.read("ok 1\n\(line)\n") }
        #expect(error?.reason.contains(reason) == true, "\(String(describing: error))")
        #expect(error?.line == 2)
    }

    /// What we write is what we read.
    @Test(arguments: [ExpositionFormat.text, .openMetrics])
    func readsOurOwnPages(_ format: ExpositionFormat) throws {
        var writer = ExpositionWriter(format: format)
        var bytes: [UInt8] = []
        var labels: [UInt8] = []
        ExpositionWriter.appendLabel("path", "a\\b\"c\nd", to: &labels)
        writer.begin(MetricFamily(name: "x_total", help: "Help with \\ and \n.", kind: .counter), to: &bytes)
        writer.counter(labels: labels, value: UInt64(12), to: &bytes)
        writer.begin(MetricFamily(name: "y", help: "y", kind: .gauge), to: &bytes)
        writer.gauge(labels: [], value: -1.5e-7, to: &bytes)
        writer.end(to: &bytes)
        let read = try Self.read(String(decoding: bytes, as: UTF8.self), isOpenMetrics: format.isOpenMetrics)
        #expect(read.samples == ["__name__=x_total,path=a\\b\"c\nd": 12, "__name__=y": -1.5e-7])
    }

    /// Any bytes are a page or a fault; nothing traps.
    @Test func anyBytesEnd() {
        var draw = RandomSource(seed: 7)
        let pieces = ["a", "{", "}", "\"", "\\", "=", ",", " ", "\n", "# ", "TYPE ", "EOF",
            "1", "e9", "\t", "\r", "é", "\u{0}", "-", "+Inf"]
        for round in 0..<4000 {
            var page = ""
            for _ in 0..<draw.next() % 24 { page += pieces[Int(draw.next() % UInt64(pieces.count))] }
            _ = try? Self.read(page, isOpenMetrics: round % 2 == 0)
        }
    }
}

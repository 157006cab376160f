import TelemetryModel
import TelemetryWire
import Testing

/// Names and labels of OTLP's metrics, by each option of Prometheus' `otlp` block. A name that differs from Prometheus' is a dashboard that
/// shows nothing.
@Suite struct OTLPTranslationTests {
    enum Kind { case gauge, counter, upDown, histogram }

    func name(_ name: String, _ unit: String, _ kind: Kind, _ strategy: OTLPTranslation.Strategy) throws -> String? {
        let metric =
            switch kind {
            case .gauge: Message.gauge(name, 1, unit: unit)
            case .counter: Message.sum(name, [.number(1)], unit: unit)
            case .upDown: Message.sum(name, [.number(1)], unit: unit, isMonotonic: false)
            case .histogram: Message.metric(name, unit: unit, 9, [.histogram([1], [])])
            }
        var translation = OTLPTranslation()
        translation.strategy = strategy
        let decoded = try DecodedMetrics(.metrics([metric]), translation)
        return decoded.points.first?.labels[LabelSet.metricName]
    }

    @Test(arguments: [
        ("http.server.duration", "ms", Kind.histogram, "http_server_duration_milliseconds"),
        ("http.server.duration_milliseconds", "ms", .histogram, "http_server_duration_milliseconds"),
        ("requests", "1", .counter, "requests_total"),
        ("requests_total", "1", .counter, "requests_total"),
        ("total.requests", "", .counter, "requests_total"),
        ("requests", "{request}", .counter, "requests_total"),
        ("requests", "{request}/s", .gauge, "requests_per_second"),
        ("ratio", "1", .gauge, "ratio"),
        ("used.ratio", "1", .gauge, "used_ratio"),
        ("used", "1", .gauge, "used_ratio"),
        ("used", "1", .upDown, "used"),
        ("used", "1", .histogram, "used"),
        ("disk", "By", .upDown, "disk_bytes"),
        ("disk", "By/s", .gauge, "disk_bytes_per_second"),
        ("disk.bytes", "By/s", .gauge, "disk_bytes_per_second"),
        ("speed", "m/m", .gauge, "speed_meters_per_minute"),
        ("speed", "/s", .gauge, "speed_per_second"),
        ("speed", "By/", .gauge, "speed_bytes"),
        ("used", "%", .gauge, "used_percent"),
        ("used", "KiBy", .gauge, "used_kibibytes"),
        ("used", "foo bar", .gauge, "used_foo_bar"),
        ("used", "foo%", .gauge, "used_foo_"),
        ("used", "foo%/s", .gauge, "used_foo_per_second"),
        ("used", "%%foo", .gauge, "used_foo"),
        ("used", " By ", .gauge, "used_bytes"),
        ("2.calls", "", .gauge, "_2_calls"),
        ("a:b..c__d", "", .gauge, "a:b_c_d"),
        (".a.", "", .gauge, "a"),
        ("größe", "", .gauge, "gr_e"),
    ])
    func underscoresWithSuffixes(_ metric: String, _ unit: String, _ kind: Kind, _ expected: String) throws {
        #expect(try name(metric, unit, kind, .underscoreEscapingWithSuffixes) == expected)
    }

    @Test(arguments: [
        ("http.server.duration", "ms", Kind.histogram, "http_server_duration"),
        ("requests", "1", .counter, "requests"),
        ("2.calls", "", .gauge, "_2_calls"),
        ("a:b..c__d", "", .gauge, "a:b_c__d"),
        (".a.", "", .gauge, "a"),
    ])
    func underscoresWithoutSuffixes(_ metric: String, _ unit: String, _ kind: Kind, _ expected: String) throws {
        #expect(try name(metric, unit, kind, .underscoreEscapingWithoutSuffixes) == expected)
    }

    @Test(arguments: [
        ("http.server.duration", "ms", Kind.histogram, "http.server.duration_milliseconds"),
        ("http.server.milliseconds", "ms", .histogram, "http.server.milliseconds"),
        ("requests", "1", .counter, "requests_total"),
        ("requests.total", "1", .counter, "requests_total"),
        ("requests.total", "By", .counter, "requests_bytes_total"),
        ("used.ratio", "1", .gauge, "used_ratio"),
        ("disk", "By/s", .gauge, "disk_bytes_per_second"),
        ("disk.per_second", "By/s", .gauge, "disk_bytes_per_second"),
        ("größe", "foo%", .gauge, "größe_foo%"),
        ("total", "", .counter, "total_total"),
    ])
    func anyCharactersWithSuffixes(_ metric: String, _ unit: String, _ kind: Kind, _ expected: String) throws {
        #expect(try name(metric, unit, kind, .noUTF8EscapingWithSuffixes) == expected)
    }

    @Test(arguments: [("http.server.duration", "ms", Kind.counter), ("2 größen", "1", .gauge), ("__", "", .gauge)])
    func nothingIsTranslated(_ metric: String, _ unit: String, _ kind: Kind) throws {
        #expect(try name(metric, unit, kind, .noTranslation) == metric)
    }

    @Test(arguments: ["", "...", "é"]) func aNameOfWhichNothingIsLeftIsRejected(_ name: String) throws {
        let decoded = try DecodedMetrics(.metrics([.gauge(name, 1), .gauge("fine", 1)]))
        #expect(decoded.series == ["fine"])
        #expect(decoded.outcome.rejectedPoints == 1 && decoded.outcome.acceptedPoints == 1)
        #expect(decoded.outcome.message.contains(name.isEmpty ? "its metric has no name" : "no series can be named after"))
    }

    // MARK: Labels

    func series(
        _ attributes: [(String, String)], _ strategy: OTLPTranslation.Strategy = .underscoreEscapingWithSuffixes
    ) throws -> String? {
        var translation = OTLPTranslation()
        translation.strategy = strategy
        let point = attributes.reduce(Message.number(1)) { $0.message(7, .attribute($1.0, $1.1)) }
        return try DecodedMetrics(.metrics([.metric("m", 5, [point])]), translation).series.first
    }

    @Test(arguments: [
        ("http.method", "http_method"), ("2xx", "key_2xx"), ("_a", "key_a"), ("__a", "__a"), ("a__b", "a__b"), (".a", "key_a"),
        ("größe", "gr__e"), ("a:b", "a_b"), (".", "key_"),
    ])
    func labels(_ attribute: String, _ expected: String) throws {
        #expect(try series([(attribute, "x")]) == "m{\(expected)=\"x\"}")
        #expect(try series([(attribute, "x")], .noTranslation) == "m{\(attribute)=\"x\"}")
    }

    /// In the order of their keys, whatever the order on the wire.
    @Test func attributesWhoseNamesCollideAreJoined() throws {
        #expect(try series([("a_b", "3"), ("a.b", "2"), ("a-b", "1")]) == "m{a_b=\"1;2;3\"}")
        #expect(try series([("a_b", "3"), ("a.b", "2")], .noUTF8EscapingWithSuffixes) == "m{a.b=\"2\",a_b=\"3\"}")
    }

    @Test func anAttributeWithoutANameRejectsItsPoint() throws {
        let named = Message.number(1).message(7, .attribute("..", "x"))
        let decoded = try DecodedMetrics(.metrics([.metric("m", 5, [named, .number(2)])]))
        #expect(decoded.series == ["m"])
        #expect(decoded.outcome.message == #"1 of 2 points rejected; the first because no label can be named after its attribute "..""#)
    }

    // MARK: Resources and scopes

    static let resource = [
        ("service.name", "shop"), ("service.namespace", "eu"), ("service.instance.id", "a-1"), ("host.name", "h7"), ("k8s.pod", "p"),
    ].reduce(Message()) { $0.message(1, .attribute($1.0, $1.1)) }

    func series(_ change: (inout OTLPTranslation) -> Void, attributes: [(String, String)] = []) throws -> [String] {
        var translation = OTLPTranslation()
        change(&translation)
        let point = attributes.reduce(Message.number(1)) { $0.message(7, .attribute($1.0, $1.1)) }
        let scope = Message().text(1, "lib").text(2, "1.2").message(3, .attribute("a.b", "x"))
        let request = Message.metrics([.metric("m", 5, [point])], resource: Self.resource, scope: scope, schema: "s/1")
        return try DecodedMetrics(request, translation).series
    }

    static let info = #"target_info{host_name="h7",instance="a-1",job="eu/shop",k8s_pod="p"}"#

    @Test func aResourceIsAJobAnInstanceAndTargetInfo() throws {
        #expect(try series { _ in } == [#"m{instance="a-1",job="eu/shop"}"#, Self.info])
        // What a point says of itself does not hide whose it is.
        #expect(try series({ _ in }, attributes: [("job", "mine")]).first == #"m{instance="a-1",job="eu/shop"}"#)
    }

    @Test func promotedAttributesAreLabels() throws {
        let one = #"m{host_name="h7",instance="a-1",job="eu/shop"}"#
        #expect(try series { $0.promotion = .only(["host.name", "none"]) } == [one, Self.info])
        #expect(
            try series { $0.promotion = .allBut(["k8s.pod"]) } == [
                #"m{host_name="h7",instance="a-1",job="eu/shop",service_instance_id="a-1",service_name="shop",service_namespace="eu"}"#,
                Self.info,
            ])
        // A point's own attribute stays.
        #expect(try series({ $0.promotion = .only(["host.name"]) }, attributes: [("host_name", "own")]).first
            == #"m{host_name="own",instance="a-1",job="eu/shop"}"#)
    }

    @Test func identifyingAttributesMayStay() throws {
        #expect(
            try series { $0.keepsIdentifyingAttributes = true }.last
                == #"target_info{host_name="h7",instance="a-1",job="eu/shop",k8s_pod="p",service_instance_id="a-1","#
                + #"service_name="shop",service_namespace="eu"}"#)
    }

    @Test func scopesMayBeLabels() throws {
        let expected = #"m{instance="a-1",job="eu/shop",otel_scope_a_b="x",otel_scope_name="lib","#
            + #"otel_scope_schema_url="s/1",otel_scope_version="1.2"}"#
        #expect(try series { $0.promotesScope = true } == [expected, Self.info])
        var translation = OTLPTranslation()
        translation.promotesScope = true
        let nameless = Message.metrics([.gauge("m", 1)], scope: Message().text(2, "1.2"))
        #expect(try DecodedMetrics(nameless, translation).series == ["m"])
    }

    @Test func targetInfoNeedsATargetAndInfo() throws {
        let alone = Message().message(1, .attribute("service.name", "shop"))
        #expect(try DecodedMetrics(.metrics([.gauge("m", 1)], resource: alone)).series == [#"m{job="shop"}"#])
        let nobody = Message().message(1, .attribute("host.name", "h"))
        #expect(try DecodedMetrics(.metrics([.gauge("m", 1)], resource: nobody)).series == ["m"])
        #expect(try DecodedMetrics(.metrics([], resource: Self.resource)).series.isEmpty)
    }

    @Test func targetInfoWithoutANameForAnAttributeIsAWarning() throws {
        let resource = Message().message(1, .attribute("service.name", "shop")).message(1, .attribute("..", "x"))
        let decoded = try DecodedMetrics(.metrics([.gauge("m", 1)], resource: resource))
        #expect(decoded.outcome.rejectedPoints == 0 && decoded.outcome.message.contains("target_info"))
    }

    @Test func histogramsMayBecomeNative() throws {
        var translation = OTLPTranslation()
        translation.convertsHistograms = true
        let full = Message.metrics([.metric("h", 9, [.histogram([0, 2, 0, 3, 0], [1, 2, 4, 8], sum: 9)])])
        let native = try DecodedMetrics(full, translation).native
        #expect(
            native
                == NativeHistogram(
                    schema: NativeHistogram.customSchema, count: 5, sum: 9, positiveSpans: [.init(offset: 1, length: 3)],
                    positiveCounts: [2, 0, 3], customBounds: [1, 2, 4, 8]))
        let empty = try DecodedMetrics(.metrics([.metric("h", 9, [.histogram([0, 0], [1])])]), translation).native
        #expect(empty?.isValid == true && empty?.positiveCounts == [])
    }
}

import ArgumentParser
import MeshConfig
import MeshRuntime
@testable import skein
import Testing

@Suite struct RunOptionsTests {
    private func options(_ arguments: String..., environment: [String: String] = [:]) throws -> RuntimeOptions {
        try RunOptions.parse(arguments).runtimeOptions { environment[$0] }
    }

    /// The command line's defaults and those of an embedded runtime are the same, or documentation is wrong about one of them.
    @Test func withoutArgumentsItIsTheRuntimesDefaults() throws {
        let given = try options()
        let usual = RuntimeOptions()
        #expect(given.configuration.paths == usual.configuration.paths)
        #expect(given.namespace == usual.namespace)
        #expect(given.dataDirectory == usual.dataDirectory)
        #expect(given.hasStore == usual.hasStore)
        #expect(given.workers == usual.workers)
        #expect(given.bindAddress == usual.bindAddress)
        #expect([given.outboundPort, given.inboundPort, given.adminPort] == [usual.outboundPort, usual.inboundPort, usual.adminPort])
        #expect([given.readinessPort, given.metricsPort] == [usual.readinessPort, usual.metricsPort])
        #expect([given.zipkinPort, given.otlpPort, given.otlpGRPCPort] == [usual.zipkinPort, usual.otlpPort, usual.otlpGRPCPort])
        #expect(given.drainSeconds == usual.drainSeconds)
        #expect(given.spanMetrics == usual.spanMetrics && given.metricsIntervalSeconds == usual.metricsIntervalSeconds)
        #expect(given.retentionSeconds == usual.retentionSeconds)
        #expect(given.retentionBytes == usual.retentionBytes)
        #expect(given.requiresStore == usual.requiresStore && given.strictTraceID == usual.strictTraceID)
        #expect(given.node == nil && given.seed == nil && given.accessLogDirectory == nil)
    }

    /// Zipkin's name for it, and the option, which counts instead.
    @Test func strictTraceIDsAreAskedForAsInZipkin() throws {
        #expect(try options().strictTraceID)
        #expect(try !options(environment: ["STRICT_TRACE_ID": "False"]).strictTraceID)
        #expect(try options("--strict-trace-id", environment: ["STRICT_TRACE_ID": "false"]).strictTraceID)
        #expect(try !options("--no-strict-trace-id").strictTraceID)
        #expect(try options(environment: ["STRICT_TRACE_ID": "no"]).notices.contains { $0.contains("STRICT_TRACE_ID=no is ignored") })
        #expect(try options("--require-store").requiresStore)
    }

    @Test(arguments: SpanMetricsOption.allCases)
    func metricsFromSpansHaveTheNamesAskedFor(_ option: SpanMetricsOption) throws {
        #expect(try options("--span-metrics", option.rawValue).spanMetrics == option)
        #expect(throws: (any Error).self) { try options("--span-metrics", "jaeger") }
    }

    /// Each option reaches the runtime; one that is parsed and forgotten looks like it worked.
    @Test func everyOptionReachesTheRuntime() throws {
        let given = try options(
            "-c", "a.yaml", "mesh/", "--node", "reviews-v1", "--namespace", "shop", "--data", "/d", "--no-store", "--access-log-directory",
            "/l", "--workers", "3",
            "--bind", "0.0.0.0", "--outbound-port", "1", "--inbound-port", "2", "--admin-port", "3", "--readiness-port", "4",
            "--metrics-port", "5", "--zipkin-port",
            "6", "--otlp-port", "7", "--otlp-grpc-port", "12", "--jaeger-port", "13", "--tempo-port", "14",
            "--drain-seconds", "8", "--retention-days", "9", "--retention-megabytes", "10", "--autocomplete-keys", "k", "l", "--seed", "11")
        #expect(given.configuration.paths == ["a.yaml", "mesh/"])
        #expect(given.node == "reviews-v1")
        #expect(given.namespace == "shop")
        #expect(given.dataDirectory == "/d")
        #expect(!given.hasStore)
        #expect(given.jaegerPort == 13 && given.tempoPort == 14)
        #expect(given.accessLogDirectory == "/l")
        #expect(given.workers == 3)
        #expect(given.bindAddress == "0.0.0.0")
        #expect([given.outboundPort, given.inboundPort, given.adminPort, given.readinessPort] == [1, 2, 3, 4])
        #expect([given.metricsPort, given.zipkinPort, given.otlpPort, given.otlpGRPCPort] == [5, 6, 7, 12])
        #expect(given.drainSeconds == 8)
        #expect(given.retentionSeconds == 9 * 86_400)
        #expect(given.retentionBytes == 10 << 20)
        #expect(given.autocompleteKeys == ["k", "l"])
        #expect(given.seed == 11)
    }

    /// A client that closes is gone, unless the operator has clients of the other kind.
    @Test func halfClosedClientsAreAnsweredWhenAskedFor() throws {
        #expect(try !options().allowsHalfClose && !RuntimeOptions().allowsHalfClose)
        #expect(try options("--half-close-clients").allowsHalfClose)
    }

    /// Who replaces Zipkin keeps its QUERY_PORT. The command line is nearer to the person who types, and what is no port (Kubernetes' own
    /// variable for a service named `query`) is not meant for us.
    @Test(arguments: [
        (nil, nil, 9411), ("9999", nil, 9999), ("9999", "1234", 1234), ("0", nil, 0), ("tcp://10.0.0.1:80", nil, 9411), ("", nil, 9411),
        ("65536", nil, 9411),
        ("-1", nil, 9411),
    ] as [(String?, String?, UInt16)])
    func takesTheZipkinPortFromTheEnvironment(_ variable: String?, _ option: String?, _ port: UInt16) throws {
        let environment = variable.map { ["QUERY_PORT": $0] } ?? [:]
        let given = try option.map { try options("--zipkin-port", $0, environment: environment) } ?? options(environment: environment)
        #expect(given.zipkinPort == port)
    }

    @Test func takesZipkinsOtherNamesFromTheEnvironment() throws {
        let environment = ["AUTOCOMPLETE_KEYS": "http.method, error,,", "QUERY_LOOKBACK": "3600000"]
        let given = try options(environment: environment)
        #expect(given.autocompleteKeys == ["http.method", "error"] && given.queryLookbackMilliseconds == 3_600_000 && given.notices.isEmpty)
        #expect(try options("--autocomplete-keys", "k", environment: environment).autocompleteKeys == ["k"])
        let wrong = try options(environment: ["QUERY_LOOKBACK": "1d"])
        #expect(wrong.queryLookbackMilliseconds == 86_400_000 && wrong.notices.count == 1 && wrong.notices[0].contains("QUERY_LOOKBACK=1d"))
    }

    /// OpenTelemetry's specification: the name counts before the attribute, an empty value is none, and attributes of which one is broken
    /// are none.
    @Test(arguments: [
        ([:], nil), (["OTEL_SERVICE_NAME": "edge"], "edge"), (["OTEL_SERVICE_NAME": ""], nil),
        (["OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name = shop%20edge ,c=d"], "shop edge"),
        (["OTEL_SERVICE_NAME": "edge", "OTEL_RESOURCE_ATTRIBUTES": "service.name=other"], "edge"),
        (["OTEL_RESOURCE_ATTRIBUTES": "service.name=%zz"], nil),
        (["OTEL_RESOURCE_ATTRIBUTES": "service.name=x,broken"], nil), (["OTEL_RESOURCE_ATTRIBUTES": "service.name=%ff"], nil),
        (["OTEL_RESOURCE_ATTRIBUTES": "service.name="], nil),
    ] as [([String: String], String?)])
    func takesTheServiceNameOfOwnSpansFromTheEnvironment(_ environment: [String: String], _ expected: String?) throws {
        let given = try options(environment: environment)
        #expect(given.spanServiceName == expected)
        let broken = environment["OTEL_RESOURCE_ATTRIBUTES"].map { EnvironmentOptions.attributes($0) == nil } ?? false
        #expect(given.notices.count == (broken ? 1 : 0))
    }

    @Test(arguments: [
        (nil, nil, nil, 0), ("always_on", nil, 100, 0), ("parentbased_always_off", "0.5", 0, 0), ("traceidratio", "0.25", 25, 0),
        ("parentbased_traceidratio", nil, 100, 0), ("traceidratio", "2", 100, 1), ("traceidratio", "nan", 100, 1),
        ("jaeger_remote", nil, nil, 1), (nil, "0.5", nil, 0),
    ] as [(String?, String?, Double?, Int)])
    func takesTheDefaultSamplingFromTheEnvironment(_ sampler: String?, _ argument: String?, _ percentage: Double?, _ notices: Int) throws {
        var environment: [String: String] = [:]
        environment["OTEL_TRACES_SAMPLER"] = sampler
        environment["OTEL_TRACES_SAMPLER_ARG"] = argument
        let given = try options(environment: environment)
        #expect(given.samplingPercentage == percentage && given.notices.count == notices)
    }

    @Test func anOpenTelemetrySDKThatIsDisabledReportsNothing() throws {
        for (value, reports) in [("true", false), ("TRUE", false), ("false", true), ("1", true), ("", true)] {
            #expect(try options(environment: ["OTEL_SDK_DISABLED": value]).reportsSpans == reports, "\(value)")
        }
    }

    /// Somebody who set an endpoint and sees nothing arrive there must find the reason in the first lines of the log.
    @Test func whatIsNotInEffectIsSaid() throws {
        let given = try options(environment: [
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_PROPAGATORS": "b3", "STORAGE_TYPE": "mem",
            "MEM_MAX_SPANS": "500000"
        ])
        #expect(given.notices.count == 2)
        #expect(given.notices[0].hasPrefix("OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_PROPAGATORS: accepted, not yet in effect"))
        #expect(given.notices[1].hasPrefix("STORAGE_TYPE, MEM_MAX_SPANS: not in effect") && given.notices[1].contains("--retention-days"))
    }

    /// Retention 0 is for ever, and numbers whose seconds or bytes do not fit must not wrap around to nearly nothing: that would delete
    /// everything.
    @Test(arguments: [(0, 0), (1, 86_400), (36_500, 3_153_600_000), (36_501, 0), (UInt64.max, 0)] as [(UInt64, UInt64)])
    func retentionNeverWrapsAround(_ days: UInt64, _ seconds: UInt64) throws {
        #expect(try options("--retention-days", "\(days)").retentionSeconds == seconds)
    }

    @Test(arguments: [(0, 0), (1, 1 << 20), (1 << 32, 1 << 52), ((1 << 32) + 1, 0), (UInt64.max, 0)] as [(UInt64, UInt64)])
    func diskSpaceNeverWrapsAround(_ megabytes: UInt64, _ bytes: UInt64) throws {
        #expect(try options("--retention-megabytes", "\(megabytes)").retentionBytes == bytes)
    }

    @Test func aShellReadsBackWhatIsQuoted() {
        #expect(["mesh/a.yaml", "two words", "it's", ""].map(ShellText.quoted) == ["mesh/a.yaml", "'two words'", #"'it'\''s'"#, "''"])
    }

    @Test(arguments: [["--workers", "-1"], ["--workers", "65"], ["--zipkin-port", "70000"], ["--drain-seconds", "soon"], ["--nodes", "x"]])
    func refusesWhatItCannotMean(_ arguments: [String]) { #expect(throws: (any Error).self) { try RunOptions.parse(arguments) } }
}

import ArgumentParser
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
        #expect(given.configPaths == usual.configPaths)
        #expect(given.namespace == usual.namespace)
        #expect(given.dataDirectory == usual.dataDirectory)
        #expect(given.hasStore == usual.hasStore)
        #expect(given.workers == usual.workers)
        #expect(given.bindAddress == usual.bindAddress)
        #expect([given.outboundPort, given.inboundPort, given.adminPort] == [usual.outboundPort, usual.inboundPort, usual.adminPort])
        #expect([given.readinessPort, given.metricsPort] == [usual.readinessPort, usual.metricsPort])
        #expect([given.zipkinPort, given.otlpPort] == [usual.zipkinPort, usual.otlpPort])
        #expect(given.drainSeconds == usual.drainSeconds)
        #expect(given.retentionSeconds == usual.retentionSeconds)
        #expect(given.retentionBytes == usual.retentionBytes)
        #expect(given.node == nil && given.seed == nil && given.accessLogDirectory == nil)
    }

    /// Each option reaches the runtime; one that is parsed and forgotten looks like it worked.
    @Test func everyOptionReachesTheRuntime() throws {
        let given = try options(
            "-c", "a.yaml", "mesh/", "--node", "reviews-v1", "--namespace", "shop", "--data", "/d", "--no-store", "--access-log-directory", "/l", "--workers", "3",
            "--bind", "0.0.0.0", "--outbound-port", "1", "--inbound-port", "2", "--admin-port", "3", "--readiness-port", "4", "--metrics-port", "5", "--zipkin-port",
            "6", "--otlp-port", "7", "--drain-seconds", "8", "--retention-days", "9", "--retention-megabytes", "10", "--autocomplete-keys", "k", "l", "--seed", "11")
        #expect(given.configPaths == ["a.yaml", "mesh/"])
        #expect(given.node == "reviews-v1")
        #expect(given.namespace == "shop")
        #expect(given.dataDirectory == "/d")
        #expect(!given.hasStore)
        #expect(given.accessLogDirectory == "/l")
        #expect(given.workers == 3)
        #expect(given.bindAddress == "0.0.0.0")
        #expect([given.outboundPort, given.inboundPort, given.adminPort, given.readinessPort] == [1, 2, 3, 4])
        #expect([given.metricsPort, given.zipkinPort, given.otlpPort] == [5, 6, 7])
        #expect(given.drainSeconds == 8)
        #expect(given.retentionSeconds == 9 * 86_400)
        #expect(given.retentionBytes == 10 << 20)
        #expect(given.autocompleteKeys == ["k", "l"])
        #expect(given.seed == 11)
    }

    /// Who replaces Zipkin keeps its QUERY_PORT. The command line is nearer to the person who types, and what is no port (Kubernetes' own variable for a service
    /// named `query`) is not meant for us.
    @Test(arguments: [
        (nil, nil, 9411), ("9999", nil, 9999), ("9999", "1234", 1234), ("0", nil, 0), ("tcp://10.0.0.1:80", nil, 9411), ("", nil, 9411), ("65536", nil, 9411),
        ("-1", nil, 9411),
    ] as [(String?, String?, UInt16)])
    func takesTheZipkinPortFromTheEnvironment(_ variable: String?, _ option: String?, _ port: UInt16) throws {
        let environment = variable.map { ["QUERY_PORT": $0] } ?? [:]
        let given = try option.map { try options("--zipkin-port", $0, environment: environment) } ?? options(environment: environment)
        #expect(given.zipkinPort == port)
    }

    /// Retention 0 is for ever, and numbers whose seconds or bytes do not fit must not wrap around to nearly nothing: that would delete everything.
    @Test(arguments: [(0, 0), (1, 86_400), (36_500, 3_153_600_000), (36_501, 0), (UInt64.max, 0)] as [(UInt64, UInt64)])
    func retentionNeverWrapsAround(_ days: UInt64, _ seconds: UInt64) throws {
        #expect(try options("--retention-days", "\(days)").retentionSeconds == seconds)
    }

    @Test(arguments: [(0, 0), (1, 1 << 20), (1 << 32, 1 << 52), ((1 << 32) + 1, 0), (UInt64.max, 0)] as [(UInt64, UInt64)])
    func diskSpaceNeverWrapsAround(_ megabytes: UInt64, _ bytes: UInt64) throws {
        #expect(try options("--retention-megabytes", "\(megabytes)").retentionBytes == bytes)
    }

    @Test(arguments: [["--workers", "-1"], ["--workers", "65"], ["--zipkin-port", "70000"], ["--drain-seconds", "soon"], ["--nodes", "x"]])
    func refusesWhatItCannotMean(_ arguments: [String]) { #expect(throws: (any Error).self) { try RunOptions.parse(arguments) } }
}

import Foundation
import Testing

/// The rules of docs/architecture.md that a compiler does not check.
@Suite struct LayerTests {
    /// Layer of each Swift target; a target imports only lower ones.
    static let layers: [String: Int] = [
        "Primitives": 1, "EventLoops": 2, "TLS": 2, "JOSE": 2, "Compression": 2, "HTTP": 2,
        "Streams": 3, "Matching": 3, "MeshConfig": 3, "TelemetryModel": 3, "TelemetryWire": 3,
        "HTTPService": 4, "Routing": 4, "Policy": 4, "OutlierDetection": 4, "CanaryAnalysis": 4, "CertificateAuthority": 4,
        "Proxy": 5, "TelemetryStore": 5, "CertificateExchange": 5, "PromQL": 5,
        "Collector": 6, "QueryAPI": 6,
        "ControlPlane": 7, "MeshRuntime": 8, "skein": 9,
        // Above everything that is linked into `skein`, so that nothing of it may use it.
        "Simulation": 9,
    ]
    /// Neighbours of one layer that may use each other, in this direction only.
    static let neighbours: Set<[String]> = [["TelemetryWire", "TelemetryModel"]]
    /// Which Swift targets use a C library or a package.
    static let users: [String: Set<String>] = [
        "CSystem": ["Primitives", "EventLoops"], "CSQLite": ["TelemetryStore"], "CZstd": ["Compression"], "CSnappy": ["Compression"],
        "CZlib": ["Compression"], "CNGHTTP2": ["HTTP"], "COpenSSL": ["TLS", "JOSE"],
        "CRE2": ["Matching"], "CRE2System": [], "CWebPage": ["QueryAPI"], "COTLP": ["TelemetryWire"], "CProtobufC": ["TelemetryWire"],
        "Yams": ["MeshConfig"], "CYaml": ["MeshConfig"], "ArgumentParser": ["skein"], "Logging": ["MeshRuntime"],
    ]
    /// The platform: the standard library's own modules, and Foundation at the edge only.
    static let platform: [String: Set<String>] = ["Glibc": [], "Synchronization": [], "Foundation": ["skein"]]

    @Test func importsPointDown() {
        let files = Repository.swiftFiles("Sources")
        #expect(files.count > 100)
        for file in files {
            for module in Repository.imports(of: file) {
                if let why = Self.objection(from: file.target, to: module) { Issue.record("\(file.path) imports \(module): \(why)") }
            }
        }
    }

    @Test func packageDependenciesPointDown() throws {
        let manifest = try #require(Repository.text("Package.swift"))
        let declared = Repository.dependencies(inManifest: manifest)
        let folders = Set(Repository.swiftFiles("Sources").map(\.target))
        #expect(Set(declared.keys) == folders, "every folder with Swift in Sources is a target, and the other way round")
        for (target, uses) in declared {
            for module in uses {
                let name = ["yams": "Yams", "argumentParser": "ArgumentParser", "logging": "Logging"][module] ?? module
                if let why = Self.objection(from: target, to: name) { Issue.record("Package.swift: \(target) uses \(name): \(why)") }
            }
        }
    }

    /// Records and counters go out, snapshots come in; only MeshRuntime knows both.
    @Test func proxyAndTelemetrySideDoNotKnowEachOther() {
        for file in Repository.swiftFiles("Sources") {
            let imports = Repository.imports(of: file)
            if file.target == "Proxy" { #expect(imports.isDisjoint(with: ["TelemetryStore", "Collector", "QueryAPI"]), "\(file.path)") }
            if ["TelemetryStore", "Collector", "QueryAPI"].contains(file.target) {
                #expect(imports.isDisjoint(with: ["Proxy", "Routing", "MeshConfig"]), "\(file.path)")
            }
        }
    }

    /// What is only for tests stays out of the binary, whoever would bring it along.
    @Test func theBinaryDoesNotKnowTheSimulation() throws {
        let manifest = try #require(Repository.text("Package.swift"))
        let declared = Repository.dependencies(inManifest: manifest)
        var linked: Set<String> = []
        var found = ["skein"]
        while let target = found.popLast() {
            if linked.insert(target).inserted { found += declared[target] ?? [] }
        }
        #expect(linked.contains("Proxy") && declared.keys.contains("Simulation"))
        #expect(!linked.contains("Simulation"))
        for file in Repository.swiftFiles("Sources") where file.target != "Simulation" {
            #expect(!Repository.imports(of: file).contains("Simulation"), "\(file.path)")
        }
    }

    @Test(arguments: [
        ("Proxy", "Collector"), ("Proxy", "Simulation"), ("skein", "Simulation"), ("Primitives", "HTTP"), ("Collector", "CSQLite"),
        ("Routing", "Yams"), ("Routing", "CRE2"),
        ("HTTP", "EventLoops"), ("HTTP", "Foundation"),
    ])
    func forbiddenArrowIsSeen(from: String, to: String) {
        #expect(Self.objection(from: from, to: to) != nil)
    }

    static func objection(from target: String, to module: String) -> String? {
        if let allowed = platform[module] { return allowed.isEmpty || allowed.contains(target) ? nil : "only \(allowed.sorted()) may" }
        if let allowed = users[module] { return allowed.contains(target) ? nil : "only \(allowed.sorted()) may" }
        guard let own = layers[target] else { return "\(target) has no layer" }
        guard let other = layers[module] else { return "\(module) has no layer" }
        return other < own || neighbours.contains([target, module]) ? nil : "layer \(other) is not below layer \(own)"
    }
}

@Suite struct SourceHabitTests {
    /// The parts of a worker are larger than a kilobyte, and a method that only borrows one is given a copy at each call.
    @Test func workersMethodsAreMutating() {
        let parts = ["ProxyWorker", "Traffic", "Sides", "TunnelTraffic", "MirrorTraffic", "Downstreams", "Upstreams"]
        var methods = 0
        for file in Repository.swiftFiles("Sources") where file.target == "Proxy" {
            var isPart = false
            for (number, line) in file.text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                if line.first == "}" { isPart = false }
                let words = line.split { $0 == " " || $0 == ":" }
                if line.first != " ", words.contains(where: { $0 == "struct" || $0 == "extension" }) {
                    isPart = words.contains { parts.contains(String($0)) }
                }
                guard isPart, line.hasPrefix("    "), !line.hasPrefix("     "), words.contains("func"), !words.contains("static")
                else { continue }
                methods += 1
                #expect(words.contains("mutating") || file.text.contains("@inline(__always)\n" + line), "\(file.path):\(number + 1)")
            }
        }
        #expect(methods > 100)
    }

    @Test(arguments: ["try" + "!", "as" + "!", "fatal" + "Error(", "TO" + "DO"])
    func neverWritten(_ words: String) {
        for file in Repository.swiftFiles("Sources") {
            let lines = file.text.split(separator: "\n", omittingEmptySubsequences: false)
            for (number, line) in lines.enumerated() where line.contains(words) {
                Issue.record("\(file.path):\(number + 1): \(words)")
            }
        }
    }

    /// Readiness, what waits to be written and half-closes are known in one place: a `ByteStream` moves every connection's bytes.
    @Test func onlyStreamsMoveAConnectionsBytes() {
        for file in Repository.swiftFiles("Sources") where !["Streams", "EventLoops"].contains(file.target) {
            for (number, line) in file.text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                for call in ["Socket." + "read(", "Socket." + "write("] where line.contains(call) {
                    Issue.record("\(file.path):\(number + 1) calls \(call)…)")
                }
            }
        }
    }

    /// A sentence must say which confinement makes it right.
    @Test func uncheckedSendableIsExplained() {
        for file in Repository.swiftFiles("Sources") where file.text.contains(": @unchecked Sendable") {
            #expect(file.text.contains("`@unchecked Sendable`"), "\(file.path) does not say why")
        }
    }

    /// A newcomer opens a target at its overview; the command line starts at its command.
    @Test func everyTargetStartsWithAnOverview() {
        let files = Repository.swiftFiles("Sources")
        for target in Set(files.map(\.target)) where target != "skein" {
            let overview = files.first { $0.path == "Sources/\(target)/\(target)Overview.swift" }
            let lines = overview?.text.split(separator: "\n").count ?? 0
            #expect((1..<40).contains(lines), "Sources/\(target)/\(target)Overview.swift")
        }
    }

    /// Another signal is an addition: what all signals share names none of them.
    @Test func whatAllSignalsShareNamesNone() {
        let shared =
            ["OTLPHTTPReceiver", "OTLPGRPCReceiver", "GRPCCallReader", "BodyUnpacker", "ReceiverPools", "ReceiverCounters", "HTTPReceiver"]
            .map { "Sources/Collector/Receivers/\($0).swift" }
            + ["Exporter", "ExporterLoop", "ExporterConnection", "ExporterEncoding", "ExporterCounters", "ExporterSettings", "SignalQueue"]
            .map { "Sources/Collector/Exporters/\($0).swift" }
        let files = Repository.swiftFiles("Sources").filter {
            $0.path.hasPrefix("Sources/TelemetryStore/File/") || shared.contains($0.path)
        }
        #expect(files.count > shared.count + 10)
        for file in files {
            for (number, line) in file.text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                let code = line.prefix(upTo: line.range(of: "//")?.lowerBound ?? line.endIndex)
                for name in ["SpanBatch", "SpanRow", "TraceTables", "TraceStore", "HeadBatch", "OTLPTraces"] where code.contains(name) {
                    Issue.record("\(file.path):\(number + 1) names \(name)")
                }
            }
        }
    }

    /// What is committed works on any machine.
    @Test func noMachinePaths() {
        let homes = ["/" + "work/", "/" + "root/", "/" + "home/", "/" + "Users/"]
        for folder in ["Sources", "Tests", "Tools", "Config", "docs", "dashboards", ".ci"] {
            for path in Repository.files(folder) {
                guard let text = Repository.text(path) else { continue }
                for home in homes where text.contains(home) { Issue.record("\(path) names \(home)") }
            }
        }
    }
}

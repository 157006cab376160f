import Collector
import OutlierDetection
import Primitives
import TelemetryWire
import Testing

/// What proxies say of endpoints, and what they are answered.
@Suite struct OutlierReportCodingTests {
    private static func sample() -> MeshReport {
        var report = MeshReport(reporter: "a", sequence: 1, periodNanoseconds: 10_000_000_000)
        var settings = OutlierSettings.istio(
            consecutive5xxErrors: 7, splitExternalLocalOriginErrors: true, intervalNanoseconds: 1_000_000_000)
        settings.maxEjectionTimeNanoseconds = 600_000_000_000
        settings.enforcingSuccessRate = 50
        var cluster = MeshReport.Cluster(name: "outbound|80||é.local", settings: settings, hosts: 3)
        var four = MeshReport.Endpoint(SocketEndpoint(address: "10.0.0.1", port: 8080)!)
        four.counts = AttemptCounts(successes: 1, errors: 300, gatewayErrors: 70_000, localFailures: .max)
        four.latency.buckets[0] = 5
        four.latency.buckets[19] = .max
        four.ejected = .consecutiveGatewayFailure
        var six = MeshReport.Endpoint(SocketEndpoint(address: "2001:db8::1", port: 443)!)
        six.isAbsent = true
        cluster.endpoints = [four, six]
        report.clusters = [cluster, MeshReport.Cluster(name: "empty", settings: OutlierSettings(), hosts: 0)]
        return report
    }

    private static let known = OutlierReportCoding.Known(epoch: .max, generation: 12)

    @Test func aReportComesBackAsItWas() throws {
        let bytes = OutlierReportCoding.encode(Self.sample(), known: Self.known)
        var read = MeshReport(reporter: "a", sequence: 1, periodNanoseconds: 0)
        #expect(try OutlierReportCoding.decode(bytes, into: &read) == Self.known)
        #expect(read.periodNanoseconds == 10_000_000_000 && read.clusters.map(\.name) == ["outbound|80||é.local", "empty"])
        #expect(read.clusters[0].settings == Self.sample().clusters[0].settings && read.clusters[1].settings == OutlierSettings())
        #expect(OutlierReportCoding.encode(read, known: Self.known) == bytes)
        #expect(read.clusters[0].endpoints.map(\.address) == Self.sample().clusters[0].endpoints.map(\.address))
        #expect(read.clusters[0].endpoints[0].ejected == .consecutiveGatewayFailure && read.clusters[0].endpoints[1].isAbsent)
    }

    /// An older collector passes over what a resource says, an older proxy says nothing of it: both still understand each other.
    @Test func detectorsComeBackAndAreOptional() throws {
        var detectors = MeshDetectors()
        detectors.errorRate?.percent = 20
        detectors.errorRate?.windows = 7
        detectors.latency?.factorThousandths = 2_500
        detectors.enforcesLatency = true
        detectors.voicesMin = 4
        var without = MeshDetectors()
        without.errorRate = nil
        without.ejects = false
        var report = Self.sample()
        let plain = OutlierReportCoding.encode(report, known: Self.known)
        report.clusters[0].detectors = detectors
        report.clusters[1].detectors = without
        let bytes = OutlierReportCoding.encode(report, known: Self.known)
        var read = MeshReport(reporter: "a", sequence: 1, periodNanoseconds: 0)
        _ = try OutlierReportCoding.decode(bytes, into: &read)
        #expect(read.clusters.map(\.detectors) == [detectors, without])
        #expect(read.clusters[0].settings == report.clusters[0].settings)
        #expect(OutlierReportCoding.encode(Self.sample(), known: Self.known) == plain, "nothing is added without a resource")
        var old = MeshReport(reporter: "a", sequence: 1, periodNanoseconds: 0)
        _ = try OutlierReportCoding.decode(plain, into: &old)
        #expect(old.clusters.allSatisfy { $0.detectors == nil })
    }

    @Test func everyCutIsRefused() {
        let bytes = OutlierReportCoding.encode(Self.sample(), known: Self.known)
        for length in 0..<bytes.count {
            var read = MeshReport(reporter: "a", sequence: 1, periodNanoseconds: 0)
            #expect(throws: ReportFault.self, "cut at \(length)") {
                _ = try OutlierReportCoding.decode(Array(bytes[..<length]), into: &read)
            }
        }
    }

    /// Bytes come from the network: whatever they are, they end in a report or in a fault, and a judge takes what they say.
    @Test func anyBytesEnd() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var draw = RandomSource(seed: seed)
        var sample = Self.sample()
        sample.clusters[0].detectors = MeshDetectors()
        let whole = OutlierReportCoding.encode(sample, known: Self.known)
        var judge = MeshJudge(seed: 1, epoch: 1)
        var now = MonotonicInstant(nanoseconds: 1)
        for number in 1...5_000 {
            var bytes = whole
            for _ in 0...draw.below(3) { bytes[Int(draw.below(UInt32(bytes.count)))] = UInt8(truncatingIfNeeded: draw.next()) }
            var read = MeshReport(reporter: "\(draw.below(3))", sequence: UInt64(number), periodNanoseconds: 0)
            guard (try? OutlierReportCoding.decode(bytes, into: &read)) != nil else { continue }
            _ = judge.take(read, now: now)
            now = now + 100_000_000
            judge.tick(now: now)
        }
        #expect(judge.counters.reports > 0, "seed \(seed)")
    }

    @Test func anAnswerComesBackAndIsSmallWithoutNews() throws {
        var word = MeshWord(epoch: .max, generation: .max)
        word.isUnchanged = true
        #expect(OutlierAnswerCoding.encode(word, sequence: .max).count <= 200)
        #expect(try OutlierAnswerCoding.decode(OutlierAnswerCoding.encode(word, sequence: 1)) == word)
        word.isUnchanged = false
        word.ejections = [
            MeshWord.Ejection(
                cluster: "outbound|80||reviews", endpoint: SocketEndpoint(address: "10.0.0.1", port: 80)!, reason: .latency,
                nanosecondsLeft: 30_000_000_000)
        ]
        let bytes = OutlierAnswerCoding.encode(word, sequence: 1)
        #expect(try OutlierAnswerCoding.decode(bytes) == word)
        for length in 0..<bytes.count {
            #expect(throws: ReportFault.self, "cut at \(length)") { try OutlierAnswerCoding.decode(Array(bytes[..<length])) }
        }
        #expect(throws: ReportFault.self) { try OutlierAnswerCoding.decode(Array("{\"sequence\":12}".utf8)) }
    }
}

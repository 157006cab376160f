@testable import Collector
import EventLoops
import Foundation
import Primitives
import Testing
import TelemetryModel
import TelemetryWire

@Suite struct LogTailStorageTests {
    /// Against an array that simply keeps everything: what is kept is always the newest, whole, in order, within both bounds.
    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64])
    func keepsTheNewestWithinItsBounds(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var storage = LogTailStorage(recordsMax: 100, bytesMax: 64 * 1024)
        var model: [[UInt8]] = []
        for step in 0..<20_000 {
            let count = random.below(20) == 0 ? 1 + random.below(30_000) : 1 + random.below(900)
            let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: Int(count))
            unsafe bytes.withUnsafeBytes { unsafe storage.append($0) }
            model.append(bytes)
            if model.count > 200 { model.removeFirst(100) }
            #expect(storage.count >= 1 && storage.count <= 100)
            guard step % 37 == 0 else { continue }
            var kept = 0
            for age in 0..<storage.count {
                let record = unsafe Array(storage.record(age: age))
                kept += record.count
                #expect(record == model[model.count - 1 - age], "seed \(seed) step \(step) age \(age)")
            }
            #expect(kept <= 64 * 1024)
        }
    }

    @Test func aRecordLargerThanTheMemoryIsNotKept() {
        var storage = LogTailStorage(recordsMax: 10, bytesMax: 64 * 1024)
        let bytes = [UInt8](repeating: 1, count: 64 * 1024 + 1)
        unsafe bytes.withUnsafeBytes { unsafe storage.append($0) }
        #expect(storage.count == 0)
    }
}

@Suite struct LogTailTests {
    private func filled(catalogs: Catalogs = Catalogs(), _ records: [(RequestRecord, [String?])]) throws -> RecordPump {
        let ring = RecordRing(capacity: 1 << 20)
        let pump = try RecordPump(
            rings: [ring], plan: CollectorPlan(), sink: FakeSink(), catalogs: catalogs, statistics: CollectorStatistics()
        ) { _ in }
        for (record, texts) in records { put(recordBytes(record, texts), into: ring) }
        #expect(pump.flush())
        return pump
    }

    private func paths(_ lines: [[UInt8]]) -> [String] {
        lines.map { line in String(decoding: line, as: UTF8.self).split(separator: "\"")[1].split(separator: " ")[1].description }
    }

    private func filter(_ parameters: (name: String, value: String)...) throws -> LogFilter { try LogFilter(parameters: parameters) }

    @Test func everyPartOfAFilterNarrows() throws {
        let catalogs = Catalogs()
        var slow = exampleRecord(status: 503)
        slow.flags = [.upstreamConnectionFailure]
        slow.times.downstreamSendEnd = 2_000_000_000
        slow.cluster = catalogs.name("outbound|9080|v1|reviews.default.svc.cluster.local")
        slow.route = catalogs.name("canary")
        slow.traceID = TraceID(high: 0, low: 0xfeed)
        let pump = try filled(
            catalogs: catalogs,
            [
                (exampleRecord(), exampleTexts(path: "/fast")),
                (slow, exampleTexts(path: "/slow?x=1", method: "POST", requestID: "the-one", authority: "Reviews:9080")),
                (exampleRecord(status: 404, side: .inbound), exampleTexts(path: "/none", authority: "other")),
            ])
        let onlySlow: [LogFilter] = [
            try filter(("status", "503")), try filter(("status", "5xx")), try filter(("status", "500-599")), try filter(("flag", "UF")),
            try filter(("flag", "UpstreamConnectionFailure")), try filter(("method", "post")), try filter(("path", "/slow")),
            try filter(("route", "canary")), try filter(("cluster", "reviews")), try filter(("min-duration", "1.5s")),
            try filter(("request-id", "the-one")), try filter(("trace-id", "feed")), try filter(("status", "5xx"), ("side", "outbound")),
        ]
        for filter in onlySlow { #expect(paths(pump.tail.recent(filter: filter, limit: 10)) == ["/slow?x=1"], "\(filter)") }
        #expect(paths(pump.tail.recent(filter: LogFilter(), limit: 10)) == ["/fast", "/slow?x=1", "/none"])
        #expect(paths(pump.tail.recent(filter: LogFilter(), limit: 2)) == ["/slow?x=1", "/none"])
        #expect(paths(pump.tail.recent(filter: try filter(("side", "inbound")), limit: 10)) == ["/none"])
        #expect(paths(pump.tail.recent(filter: try filter(("host", "reviews")), limit: 10)) == ["/fast", "/slow?x=1"])
        #expect(pump.tail.recent(filter: try filter(("status", "5xx"), ("side", "inbound")), limit: 10).isEmpty)
        #expect(pump.tail.recent(filter: try filter(("host", "review")), limit: 10).isEmpty)
        pump.stop()
    }

    @Test func jsonLinesHaveIstiosKeys() throws {
        let pump = try filled([(exampleRecord(status: 418), exampleTexts(path: "/tea"))])
        let line = String(decoding: pump.tail.recent(filter: LogFilter(), limit: 1, format: .json)[0], as: UTF8.self)
        #expect(line.hasPrefix("{\"start_time\":\"2016-04-15T20:17:00.310Z\""))
        #expect(line.contains("\"response_code\":418") && line.contains("\"path\":\"/tea\"") && line.hasSuffix("}\n"))
        pump.stop()
    }

    @Test(arguments: [
        ("status", "600x"), ("status", "1000"), ("status", "0xx"), ("status", "abc"), ("status", "500-400"), ("flag", "XX"),
        ("min-duration", "fast"),
        ("min-duration", "-1s"), ("trace-id", "xyz"), ("trace-id", ""), ("side", "both"),
    ])
    func unreadableFiltersSayWhatIsAccepted(name: String, value: String) {
        #expect(throws: LogFilterError.self) { try LogFilter(parameters: [(name, value)]) }
    }

    /// Whatever is typed: an answer or an error, never the end of the process.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func anyTextIsAFilterOrAnError(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let pieces = ["5", "xx", "-", "99999999999999999999", "1e308", "ns", "ms", "s", ".", "f", "", "é", "0x", "inf", "nan", " "]
        for _ in 0..<5000 {
            let value = (0...random.below(4)).map { _ in pieces[Int(random.below(UInt32(pieces.count)))] }.joined()
            let name = LogFilter.parameterNames[Int(random.below(UInt32(LogFilter.parameterNames.count)))]
            do throws(LogFilterError) {
                let filter = try LogFilter(parameters: [(name, value)])
                if let codes = filter.statusCodes { #expect(codes.upperBound <= 999, "seed \(seed) \(name)=\(value)") }
            } catch {
                #expect(error.parameter == name && !error.accepted.isEmpty)
            }
        }
    }

    @Test func followersGetNewMatchingLinesUntilTheyLeave() throws {
        let ring = RecordRing(capacity: 1 << 20)
        let pump = try RecordPump(
            rings: [ring], plan: CollectorPlan(), sink: FakeSink(), catalogs: Catalogs(), statistics: CollectorStatistics()
        ) { _ in }
        put(recordBytes(exampleRecord(status: 500), exampleTexts(path: "/before")), into: ring)
        #expect(pump.flush())
        let said = Said()
        let filter = try filter(("status", "5xx"))
        let id = pump.tail.subscribe(LogSubscription(filter: filter)) { bytes in
            said.add(String(decoding: bytes, as: UTF8.self))
            return true
        }
        put(recordBytes(exampleRecord(status: 500), exampleTexts(path: "/1")), into: ring)
        put(recordBytes(exampleRecord(status: 200), exampleTexts(path: "/2")), into: ring)
        put(recordBytes(exampleRecord(status: 503), exampleTexts(path: "/3")), into: ring)
        #expect(pump.flush())
        let text = said.all.joined()
        #expect(paths(text.split(separator: "\n").map { Array($0.utf8) }) == ["/1", "/3"])
        if let id { pump.tail.unsubscribe(id) }
        #expect(pump.tail.followerCount == 0)
        // One that says it has gone is forgotten.
        _ = pump.tail.subscribe(LogSubscription()) { _ in false }
        put(recordBytes(exampleRecord(), exampleTexts()), into: ring)
        #expect(pump.flush())
        #expect(pump.tail.followerCount == 0)
        #expect(said.all.joined() == text)
        pump.stop()
    }

    /// A filter that nothing matches is handed nothing, so its client's leaving was never seen, and in the end nobody could follow.
    @Test func followersWhoLeftMakeRoom() throws {
        let pump = try filled([])
        let max = CollectorLimits().tailFollowersMax
        for place in 0..<max { #expect(pump.tail.subscribe(LogSubscription(), isOpen: { place > 0 }) { _ in true } != nil) }
        #expect(pump.tail.subscribe(LogSubscription()) { _ in true } != nil)
        #expect(pump.tail.followerCount == max)
        #expect(pump.tail.subscribe(LogSubscription()) { _ in true } == nil)
        pump.stop()
    }

    @Test func tracedLinesLeadToTheirTrace() throws {
        let pump = try filled([(exampleRecord(), exampleTexts())])
        let line = String(decoding: try #require(pump.tail.recent(filter: LogFilter(), limit: 1, format: .traced).first), as: UTF8.self)
        #expect(line.hasPrefix("{\"trace_id\":\"00000000000000010000000000000abc\",\"span_id\":\"0000000000000def\",\"attempts\":"))
        pump.stop()
    }

    /// A tap's line is the JSON line with both ends behind it; who could not be sent all of them is told how many.
    @Test func aTapNamesBothEndsAndSaysWhatItLeftOut() throws {
        let ring = RecordRing(capacity: 8 << 20)
        let catalogs = Catalogs()
        var limits = CollectorLimits()
        limits.tailBytesPerDrainMax = 2_000
        let pump = try RecordPump(
            rings: [ring], plan: CollectorPlan(), sink: FakeSink(), catalogs: catalogs, statistics: CollectorStatistics(),
            limits: limits
        ) { _ in }
        var source = SourceLabels()
        source.workload = "a \"quoted\" name"
        var destination = DestinationLabels()
        destination.service = "reviews.default.svc.cluster.local"
        var record = exampleRecord(status: 200)
        record.labels = LabelPair(source: catalogs.sources.id(source), destination: catalogs.destination(destination))
        record.attemptCount = 2
        let said = Said()
        _ = pump.tail.subscribe(LogSubscription(format: .tap)) { bytes in
            said.add(String(decoding: bytes, as: UTF8.self))
            return true
        }
        for number in 0..<100 { put(recordBytes(record, exampleTexts(path: "/\(number)")), into: ring) }
        #expect(pump.flush())
        let lines = said.all.joined().split(separator: "\n")
        var shown = 0
        var dropped = 0
        for line in lines {
            let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            if let count = object["dropped"] as? Int {
                dropped += count
                continue
            }
            shown += 1
            #expect(object["source_workload"] as? String == source.workload)
            #expect(object["destination_service"] as? String == destination.service)
            #expect(object["attempts"] as? Int == 2 && object["side"] as? String == "outbound" && object["method"] as? String == "GET")
        }
        #expect(shown > 0 && dropped > 0 && shown + dropped == 100)
        pump.stop()
    }

    @Test func followersAreBounded() throws {
        let pump = try filled([])
        for _ in 0..<CollectorLimits().tailFollowersMax { #expect(pump.tail.subscribe(LogSubscription()) { _ in true } != nil) }
        #expect(pump.tail.subscribe(LogSubscription()) { _ in true } == nil)
        pump.stop()
    }
}

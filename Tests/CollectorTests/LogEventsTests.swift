@testable import Collector
import Foundation
import Primitives
import Testing
import TelemetryModel

/// A reader of server-sent events, as WHATWG HTML 9.2.6 has it: what is dispatched, and the id it would come back with.
private struct EventReader {
    var lastID = ""
    var events: [(name: String, id: String, data: String)] = []

    mutating func read(_ bytes: [UInt8]) {
        var (name, data) = ("message", "")
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
            switch parts[0] {
            case "id": lastID = value
            case "event": name = value
            case "data": data = value
            case "" where line.isEmpty:
                if !data.isEmpty { events.append((name, lastID, data)) }
                (name, data) = ("message", "")
            default: break
            }
        }
    }

    var paths: [String] { events.filter { $0.name == "message" }.compactMap { object($0.data)["path"] as? String } }
    var gaps: [(reason: String, requests: Int)] {
        events.filter { $0.name == "gap" }.map { (object($0.data)["reason"] as? String ?? "", object($0.data)["requests"] as? Int ?? -1) }
    }

    private func object(_ text: String) -> [String: Any] {
        (try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]) ?? [:]
    }
}

@Suite struct LogEventsTests {
    private final class Box: Sendable {
        private let said = Said()
        var bytes: [UInt8] { Array(said.all.joined().utf8) }
        func take(_ bytes: [UInt8]) -> Bool {
            said.add(String(decoding: bytes, as: UTF8.self))
            return true
        }
    }

    private struct Log {
        let ring = RecordRing(capacity: 1 << 20)
        let pump: RecordPump
        var written = 0

        init(_ change: (inout CollectorLimits) -> Void = { _ in }) throws {
            var limits = CollectorLimits()
            change(&limits)
            pump = try RecordPump(
                rings: [ring], plan: CollectorPlan(), sink: FakeSink(), catalogs: Catalogs(), statistics: CollectorStatistics(),
                limits: limits
            ) { _ in }
        }

        mutating func write(_ count: Int, status: UInt16 = 200) {
            for _ in 0..<count {
                written += 1
                put(recordBytes(exampleRecord(status: status), exampleTexts(path: "/\(written)")), into: ring)
            }
            #expect(pump.flush())
        }

        func follow(_ box: Box, after last: String? = nil, filter: LogFilter = LogFilter()) throws -> LogFollowerID {
            let start = last.flatMap { LogPosition($0) }.map { LogStart.after($0) } ?? .newest(0)
            let wanted = LogSubscription(filter: filter, format: .traced, framing: .events, start: start)
            let id = pump.tail.subscribe(wanted, begin: { _ = box.take($0) }, sink: { box.take($0) })
            return try #require(id)
        }
    }

    private func read(_ box: Box) -> EventReader {
        var reader = EventReader()
        reader.read(box.bytes)
        return reader
    }

    /// A reader whose connection breaks again and again sees every record that was kept, once and in order; the others are counted.
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func nothingKeptIsMissedOrToldTwice(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        var log = try Log { $0.tailRecordsMax = 20 }
        log.write(1)
        var seen: [Int] = []
        var (missing, last) = (0, LogPosition(log: log.pump.tail.log, record: 0).description)
        for _ in 0..<60 {
            log.write(Int(random.below(40)))
            let box = Box()
            let id = try log.follow(box, after: last)
            log.write(Int(random.below(10)))
            log.pump.tail.unsubscribe(id)
            let reader = read(box)
            seen += reader.paths.compactMap { Int($0.dropFirst()) }
            missing += reader.gaps.map(\.requests).reduce(0, +)
            #expect(reader.gaps.allSatisfy { $0.reason == "resumed_late" }, "seed \(seed)")
            if !reader.lastID.isEmpty { last = reader.lastID }
            #expect(seen.count + missing == log.written, "seed \(seed)")
        }
        #expect(zip(seen, seen.dropFirst()).allSatisfy { $0 < $1 }, "seed \(seed)")
        #expect(missing > 0 && seen.count > missing / 4, "seed \(seed): \(seen.count) seen, \(missing) missing")
        log.pump.stop()
    }

    /// Between what is kept and what comes there was a gap: a record that finished in it was in neither.
    @Test func aRecordBetweenTheKeptAndTheNewIsGiven() throws {
        var log = try Log()
        let box = Box()
        let wanted = LogSubscription(format: .traced, framing: .events, start: .newest(10))
        log.write(1)
        let (pump, ring) = (log.pump, log.ring)
        let id = pump.tail.subscribe(wanted, begin: { opening in
            put(recordBytes(exampleRecord(), exampleTexts(path: "/between")), into: ring)
            #expect(pump.flush())
            _ = box.take(opening)
        }, sink: { box.take($0) })
        #expect(id != nil && pump.flush())
        log.write(1)
        #expect(read(box).paths == ["/1", "/between", "/2"])
        pump.stop()
    }

    /// Who sees nothing because of a filter, comes back behind what the filter left out, and is not told that something is missing.
    @Test func aHeartbeatMovesTheReaderOn() throws {
        var log = try Log {
            $0.tailHeartbeatNanoseconds = 0
            $0.tailRecordsMax = 5
        }
        var filter = LogFilter()
        filter.statusCodes = 500...599
        let box = Box()
        let id = try log.follow(box, filter: filter)
        log.write(50)
        #expect(log.pump.flush())
        log.pump.tail.unsubscribe(id)
        #expect(read(box).events.isEmpty && read(box).lastID.hasSuffix("-50"))
        let again = Box()
        log.write(1, status: 503)
        _ = try log.follow(again, after: read(box).lastID, filter: filter)
        #expect(read(again).paths == ["/51"] && read(again).gaps.isEmpty)
        log.pump.stop()
    }

    /// Another process's number means nothing here: all that is kept is new to the reader.
    @Test(arguments: ["1-7", "ffffffffffffffff-18446744073709551615"])
    func anotherProcesssPlaceBeginsAnew(last: String) throws {
        var log = try Log()
        log.write(3)
        let box = Box()
        _ = try log.follow(box, after: last)
        #expect(read(box).paths == ["/1", "/2", "/3"] && read(box).gaps.map(\.reason) == ["restarted"])
        let future = Box()
        _ = try log.follow(future, after: LogPosition(log: log.pump.tail.log, record: .max).description)
        #expect(read(future).gaps.map(\.reason) == ["restarted"])
        log.pump.stop()
    }

    @Test func whatIsTooMuchAtOnceIsCounted() throws {
        var log = try Log { $0.tailBytesPerDrainMax = 4000 }
        let box = Box()
        _ = try log.follow(box)
        for number in 0..<200 { put(recordBytes(exampleRecord(), exampleTexts(path: "/\(number)")), into: log.ring) }
        log.write(0)
        let reader = read(box)
        #expect(reader.gaps.allSatisfy { $0.reason == "slow_follower" } && !reader.gaps.isEmpty)
        #expect(reader.paths.count + reader.gaps.map(\.requests).reduce(0, +) == 200)

        var late = try Log { $0.tailCatchUpBytesMax = 4000 }
        late.write(100)
        let back = Box()
        _ = try late.follow(back, after: LogPosition(log: late.pump.tail.log, record: 0).description)
        #expect(read(back).paths.last == "/100" && read(back).gaps.map(\.reason) == ["resumed_late"])
        #expect(read(back).paths.count + read(back).gaps[0].requests == 100)
        log.pump.stop()
        late.pump.stop()
    }

    @Test(arguments: ["", "-", "1-", "-1", "1-2-3", "g-1", "1--1", "11111111111111111-1", "1-99999999999999999999", "é-1"])
    func whatIsNoPlaceIsRefused(text: String) { #expect(LogPosition(text) == nil) }

    @Test func aPlaceReadsAsItPrints() {
        for place in [LogPosition(log: 0, record: 0), LogPosition(log: .max, record: .max), LogPosition(log: 0xABC, record: 7)] {
            #expect(LogPosition(place.description) == place && place.description.utf8.count <= LogPosition.textBytesMax)
        }
    }
}

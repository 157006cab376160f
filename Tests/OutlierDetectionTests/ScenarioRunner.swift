import Foundation
import OutlierDetection
import Primitives
import Testing

/// Runs the small language of Scenarios/*.scenario against `UpstreamState` and `OutlierJudge` with virtual time. One statement a line:
///
///     settings KEY VALUE ...              keys as in OutlierSettings; times like 10s, 1500ms; before `hosts`, or later to reload
///     hosts a b c                         the cluster's endpoints
///     at 12s                              runs every interval tick up to and including 12 s, then is at 12 s
///     at 12s a 503 503 200 x40            outcomes of endpoint a: a status, connected, connect-failed, timed-out, reset;
///                                         xN repeats the last one
///     at 12s add d | remove a | check a   membership; a passed active health check
///     expect admitted a b                 none of them ejected
///     expect ejected a [until 42s] [because consecutive_5xx]
///     expect active|overflow|unejections N
///     expect detected|enforced REASON N
///     expect panic yes|no
///     expect last unejected a time_over|health_check|removed
struct ScenarioRunner {
    let file: String
    private var line = 0
    private var settings = OutlierSettings()
    private let state = UpstreamState(clustersMax: 4, endpointsMax: 16)
    private let judge: OutlierJudge
    private var hosts: [String] = []
    private var slots: [String: EndpointSlot] = [:]
    private var now = MonotonicInstant(nanoseconds: 0)
    private var nextTick = MonotonicInstant.distantFuture
    private(set) var expectations = 0
    private static let cluster = ClusterKey(7)

    static let folder = "/" + #filePath.split(separator: "/").dropLast().joined(separator: "/") + "/Scenarios"

    static var files: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasSuffix(".scenario") }.sorted()
    }

    init(file: String) {
        self.file = file
        judge = OutlierJudge(state: state, seed: 1)
    }

    mutating func run() throws {
        let text = try String(contentsOfFile: Self.folder + "/" + file, encoding: .utf8)
        for (number, content) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            line = number + 1
            let words = content.prefix { $0 != "#" }.split(separator: " ").map(String.init)
            guard let verb = words.first else { continue }
            let rest = Array(words.dropFirst())
            switch verb {
            case "settings": try set(rest)
            case "hosts":
                hosts = rest
                configure()
            case "at": try at(rest)
            case "expect": try expect(rest)
            default: throw bad("unknown statement \(verb)")
            }
        }
    }

    struct Malformed: Error, CustomStringConvertible { var description: String }

    private func bad(_ what: String) -> Malformed { Malformed(description: "\(file):\(line): \(what)") }

    private mutating func configure() {
        let addresses = hosts.map {
            SocketEndpoint(ipv4: 0x0A00_0000 + UInt32($0.utf8.reduce(0) { Int($0) * 31 + Int($1) } & 0xFFFF), port: 80)
        }
        let assignment = state.slots(for: [ClusterMembership(key: Self.cluster, endpoints: addresses)])
        for (name, slot) in zip(hosts, assignment.clusters[0].endpoints) { slots[name] = slot }
        judge.configure([OutlierCluster(key: Self.cluster, settings: settings, endpoints: assignment.clusters[0].endpoints)], now: now)
        nextTick = judge.tick(now: now)
    }

    private mutating func set(_ words: [String]) throws {
        settings = try Self.settings(words, over: settings) { bad($0) }
        if !hosts.isEmpty { configure() }
    }

    /// `KEY VALUE ...` over what holds so far. `bad`: the error for a text.
    static func settings(_ words: [String], over old: OutlierSettings, bad: (String) -> Malformed) throws -> OutlierSettings {
        var settings = old
        for pair in stride(from: 0, to: words.count, by: 2) {
            guard pair + 1 < words.count else { throw bad("\(words[pair]) has no value") }
            let value = words[pair + 1]
            let number = UInt32(value) ?? 0
            func time() throws -> UInt64 {
                guard let time = Self.time(value) else { throw bad("\(value) is not a time") }
                return time
            }
            switch words[pair] {
            case "consecutive5xx": settings.consecutive5xx = number
            case "consecutiveGateway": settings.consecutiveGateway = number
            case "consecutiveLocalOrigin": settings.consecutiveLocalOrigin = number
            case "splitExternalLocalOriginErrors": settings.splitExternalLocalOriginErrors = value == "true"
            case "interval": settings.intervalNanoseconds = try time()
            case "baseEjectionTime": settings.baseEjectionTimeNanoseconds = try time()
            case "maxEjectionTime": settings.maxEjectionTimeNanoseconds = try time()
            case "maxEjectionPercent": settings.maxEjectionPercent = number
            case "alwaysEjectOneHost": settings.alwaysEjectOneHost = value == "true"
            case "minHealthPercent": settings.minHealthPercent = number
            case "enforcingConsecutive5xx": settings.enforcingConsecutive5xx = number
            case "enforcingConsecutiveGateway": settings.enforcingConsecutiveGateway = number
            case "enforcingSuccessRate": settings.enforcingSuccessRate = number
            case "enforcingLocalOriginSuccessRate": settings.enforcingLocalOriginSuccessRate = number
            case "enforcingFailurePercentage": settings.enforcingFailurePercentage = number
            case "successRateMinimumHosts": settings.successRateMinimumHosts = number
            case "successRateRequestVolume": settings.successRateRequestVolume = number
            case "failurePercentageThreshold": settings.failurePercentageThreshold = number
            default: throw bad("unknown setting \(words[pair])")
            }
        }
        return settings
    }

    private func time(_ text: String) throws -> UInt64 {
        guard let time = Self.time(text) else { throw bad("\(text) is not a time") }
        return time
    }

    /// `10s` or `1500ms`, in nanoseconds.
    static func time(_ text: String) -> UInt64? {
        if text.hasSuffix("ms"), let value = UInt64(text.dropLast(2)) { return value * 1_000_000 }
        if text.hasSuffix("s"), let value = UInt64(text.dropLast()) { return value * 1_000_000_000 }
        return nil
    }

    private mutating func at(_ words: [String]) throws {
        guard let first = words.first else { throw bad("at what time?") }
        let target = MonotonicInstant(nanoseconds: try time(first))
        guard target >= now else { throw bad("time goes back") }
        while nextTick <= target {
            now = nextTick
            nextTick = judge.tick(now: now)
        }
        now = target
        guard words.count > 1 else { return }
        guard words.count > 2 else { throw bad("\(words[1]) what?") }
        switch words[1] {
        case "add":
            hosts.append(words[2])
            configure()
        case "remove":
            hosts.removeAll { $0 == words[2] }
            configure()
        case "check": judge.activeHealthCheckSucceeded(try slot(words[2]), now: now)
        default: try outcomes(try slot(words[1]), Array(words.dropFirst(2)))
        }
    }

    private func outcomes(_ slot: EndpointSlot, _ words: [String]) throws {
        var last = AttemptOutcome.connected
        for word in words {
            var times = 1
            switch word {
            case "connected": last = .connected
            case "connect-failed": last = .connectFailed
            case "timed-out": last = .timedOut
            case "reset": last = .reset
            default:
                if word.hasPrefix("x"), let count = Int(word.dropFirst()) {
                    times = count - 1
                } else if let status = UInt16(word) {
                    last = .response(status: status)
                } else {
                    throw bad("unknown outcome \(word)")
                }
            }
            for _ in 0..<times {
                let crossing = state.record(last, endpoint: slot, thresholds: settings.thresholds)
                if !crossing.isEmpty { judge.crossed(slot, crossing, now: now) }
            }
        }
    }

    private func slot(_ name: String) throws -> EndpointSlot {
        guard let slot = slots[name] else { throw bad("no host \(name)") }
        return slot
    }

    private mutating func expect(_ words: [String]) throws {
        expectations += 1
        guard words.count >= 2, let statistics = judge.statistics().first else { throw bad("expect what?") }
        let counters = statistics.counters
        func equal(_ found: some Equatable & CustomStringConvertible, _ text: String, _ what: String) {
            #expect(found.description == text, "\(file):\(line): \(what)")
        }
        switch words[0] {
        case "admitted":
            for name in words.dropFirst() { #expect(!state.isEjected(try slot(name)), "\(file):\(line): \(name)") }
        case "ejected":
            let host = try slot(words[1])
            #expect(state.isEjected(host) && !state.isAvailable(host), "\(file):\(line): \(words[1])")
            for clause in stride(from: 2, to: words.count - 1, by: 2) {
                if words[clause] == "until" {
                    #expect(state.ejectedUntil(host)?.nanoseconds == (try time(words[clause + 1])), "\(file):\(line)")
                } else if words[clause] == "because" {
                    let event = judge.events().last { $0.slot == host }
                    guard case .ejected(let reason, _, _, _) = event?.kind else { throw bad("no such event") }
                    equal(reason.name, words[clause + 1], "reason")
                } else {
                    throw bad("unknown clause \(words[clause])")
                }
            }
        case "active": equal(statistics.ejectionsActive, words[1], "ejections active")
        case "overflow": equal(counters.overflow, words[1], "overflow")
        case "unejections": equal(counters.unejections, words[1], "unejections")
        case "detected", "enforced":
            guard let reason = EjectionReason.allCases.first(where: { $0.name == words[1] }), words.count == 3 else {
                throw bad("which reason?")
            }
            equal((words[0] == "detected" ? counters.detected : counters.enforced)[Int(reason.rawValue)], words[2], words[0])
        case "panic":
            let available = try hosts.filter { state.isAvailable(try slot($0)) }.count
            equal(settings.panics(available: available, hosts: hosts.count) ? "yes" : "no", words[1], "panic")
        case "last":
            guard words.count == 4, words[1] == "unejected" else { throw bad("last what?") }
            guard case .unejected(let cause) = judge.events().last?.kind else { throw bad("the last event is no un-ejection") }
            equal(["time_over", "health_check", "removed"][Int(cause.rawValue)], words[3], "cause")
            #expect(judge.events().last?.slot == (try slot(words[2])), "\(file):\(line)")
        default: throw bad("unknown expectation \(words[0])")
        }
    }
}

@Suite struct ScenarioTests {
    @Test(arguments: ScenarioRunner.files)
    func behavesAsWritten(file: String) throws {
        var runner = ScenarioRunner(file: file)
        try runner.run()
        #expect(runner.expectations > 0, "\(file) expects nothing")
    }

    /// An empty folder would make the test above pass.
    @Test func scenariosAreThere() { #expect(ScenarioRunner.files.count >= 15) }
}

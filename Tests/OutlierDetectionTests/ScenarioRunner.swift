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
    private var text: ScenarioText
    private var settings = OutlierSettings()
    private let state = UpstreamState(clustersMax: 4, endpointsMax: 16)
    private let judge: OutlierJudge
    private var hosts: [String] = []
    private var slots: [String: EndpointSlot] = [:]
    private var now = MonotonicInstant(nanoseconds: 0)
    private var nextTick = MonotonicInstant.distantFuture
    private(set) var expectations = 0
    private static let cluster = ClusterKey(7)

    static var files: [String] { ScenarioText.files(in: ScenarioText.folder) }

    init(file: String) throws {
        text = try ScenarioText(folder: ScenarioText.folder, file: file)
        judge = OutlierJudge(state: state, seed: 1)
    }

    mutating func run() throws {
        for statement in text.statements {
            text.begin(statement)
            switch statement.verb {
            case "settings": try set(statement.words)
            case "hosts":
                hosts = statement.words
                configure()
            case "at": try at(statement.words)
            case "expect": try expect(statement.words)
            default: throw bad("unknown statement \(statement.verb)")
            }
        }
    }

    private func bad(_ what: String) -> ScenarioText.Malformed { text.bad(what) }
    private var place: String { "\(text.file):\(text.line)" }

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
        settings = try Self.settings(words, over: settings, text)
        if !hosts.isEmpty { configure() }
    }

    /// `KEY VALUE ...` over what holds so far.
    static func settings(_ words: [String], over old: OutlierSettings, _ text: ScenarioText) throws -> OutlierSettings {
        var settings = old
        for pair in stride(from: 0, to: words.count, by: 2) {
            guard pair + 1 < words.count else { throw text.bad("\(words[pair]) has no value") }
            let value = words[pair + 1]
            let number = UInt32(value) ?? 0
            func time() throws -> UInt64 { try text.time(value) }
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
            default: throw text.bad("unknown setting \(words[pair])")
            }
        }
        return settings
    }

    private mutating func at(_ words: [String]) throws {
        guard let first = words.first else { throw bad("at what time?") }
        let target = MonotonicInstant(nanoseconds: try text.time(first))
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
        func equal(_ found: some Equatable & CustomStringConvertible, _ wanted: String, _ what: String) {
            #expect(found.description == wanted, "\(place): \(what)")
        }
        switch words[0] {
        case "admitted":
            for name in words.dropFirst() { #expect(!state.isEjected(try slot(name)), "\(place): \(name)") }
        case "ejected":
            let host = try slot(words[1])
            #expect(state.isEjected(host) && !state.isAvailable(host), "\(place): \(words[1])")
            for clause in stride(from: 2, to: words.count - 1, by: 2) {
                if words[clause] == "until" {
                    #expect(state.ejectedUntil(host)?.nanoseconds == (try text.time(words[clause + 1])), "\(place)")
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
            #expect(judge.events().last?.slot == (try slot(words[2])), "\(place)")
        default: throw bad("unknown expectation \(words[0])")
        }
    }
}

@Suite struct ScenarioTests {
    @Test(arguments: ScenarioRunner.files)
    func behavesAsWritten(file: String) throws {
        var runner = try ScenarioRunner(file: file)
        try runner.run()
        #expect(runner.expectations > 0, "\(file) expects nothing")
    }

    /// An empty folder would make the test above pass.
    @Test func scenariosAreThere() { #expect(ScenarioRunner.files.count >= 15) }
}

import OutlierDetection
import Primitives
import Testing

/// Runs the language of Scenarios/Mesh/*.scenario: proxies with their own detection, the collectors that they report to, and the way
/// between, in virtual time by the second. One statement a line; statements before the first `at` happen at 0 s. `P` is a proxy's name or
/// `all`, `E` an endpoint's or `all`.
///
///     settings KEY VALUE ...             as in ScenarioRunner: interval, baseEjectionTime, maxEjectionPercent, consecutive5xx ...
///     detector error-rate|latency        of a MeshOutlierDetection, with its defaults; `detector none`: it names neither
///     mode report-only | reporters N     of the same
///     report 1s                          time between reports
///     collectors N                       1 unless said
///     hosts a b c
///     proxies p q                        or `proxies p q as IDENTITY`: one certificate for all of them
///     at 12s                             lives up to and including second 12
///     sees P E 3 ok 1 500 [20ms]         what the endpoint does with the attempts of each second from now on; `connect-failed` too
///     lies P 500 errors|successes [of N endpoints]    what it says of each endpoint with every report, instead of what it saw
///     cut P | mend P                     the way to the collector
///     repeats P N                        each report is sent N times
///     overtaken P                        a report is held back and arrives after the next one
///     clock P 3600s                      is ahead by so much; before the first `at`
///     alternates P | reports P N         to the collectors in turns; to the N-th
///     stops N | starts N                 a collector; it starts empty
///     leaves E P | returns E P
///     expect ejected|admitted P E ...    at the proxy, whoever ejected it
///     expect mesh ejected|admitted N E [because REASON]    at the N-th collector
///     expect alone P yes|no | panic P yes|no | returns P N | endpoints N COUNT
///     expect counted N ejections|outvoted|stale|repeated|beyond_limits|max_ejection_percent|min_health_percent|not_enforced COUNT
///     expect longest N 300s              ejection of the N-th collector's history
struct MeshScenarioRunner {
    private var text: ScenarioText
    private(set) var expectations = 0
    private var settings = OutlierSettings()
    private var detectors: MeshDetectors?
    private var reportNanoseconds = MeshWorld.second
    private var hosts: [String] = []
    private var proxies: [SimulatedProxy] = []
    private var collectors = [SimulatedCollector(number: 1, detectors: MeshDetectors())]
    private var held: [(report: MeshReport, from: Int)] = []
    /// Places in `proxies` of those whose next report is held back.
    private var overtaken: Set<Int> = []
    private var now = MonotonicInstant(nanoseconds: 1_000_000 * MeshWorld.second)
    private let start = MonotonicInstant(nanoseconds: 1_000_000 * MeshWorld.second)
    private var reportsSent = 0

    private static let folder = ScenarioText.folder + "/Mesh"

    static var files: [String] { ScenarioText.files(in: folder) }

    init(file: String) throws { text = try ScenarioText(folder: Self.folder, file: file) }

    private func bad(_ what: String) -> ScenarioText.Malformed { text.bad(what) }
    private var position: String { "\(text.file):\(text.line)" }

    mutating func run() throws {
        for statement in text.statements {
            text.begin(statement)
            try run(statement.verb, statement.words)
        }
    }

    private mutating func run(_ verb: String, _ words: [String]) throws {
        switch verb {
        case "settings": settings = try ScenarioRunner.settings(words, over: settings, text)
        case "detector", "mode", "reporters": try detect(verb, words)
        case "report": reportNanoseconds = try text.time(words.first)
        case "collectors":
            let count = max(1, try text.number(words.first))
            collectors = (1...count).map { SimulatedCollector(number: UInt64($0), detectors: MeshDetectors()) }
        case "hosts": hosts = words
        case "proxies": try addProxies(words)
        case "at": try live(until: start + (try text.time(words.first)))
        case "expect":
            expectations += 1
            try expect(words)
        case "stops": collectors[try collector(words.first)].isUp = false
        case "starts": collectors[try collector(words.first)].restart()
        default: for place in try places(words.first) { try change(place, verb, Array(words.dropFirst())) }
        }
    }

    private mutating func detect(_ verb: String, _ words: [String]) throws {
        if detectors == nil {
            var none = MeshDetectors()
            none.errorRate = nil
            none.latency = nil
            none.enforcesErrorRate = true
            none.enforcesLatency = true
            detectors = none
        }
        switch (verb, words.first) {
        case ("detector", "error-rate"): detectors?.errorRate = MeshDetectors.ErrorRate()
        case ("detector", "latency"): detectors?.latency = MeshDetectors.Latency()
        case ("detector", "none"): break
        case ("mode", "report-only"): detectors?.ejects = false
        case ("reporters", let count):
            let voices = try text.number(count)
            detectors?.voicesMin = UInt64(voices)
        default: throw bad("unknown \(verb)")
        }
    }

    private mutating func addProxies(_ words: [String]) throws {
        let names = words.prefix { $0 != "as" }
        let principal = words.count > names.count + 1 ? words[names.count + 1] : nil
        for name in names {
            var proxy = SimulatedProxy(name, principal: principal, settings, detectors, reportNanoseconds: reportNanoseconds, now: now)
            proxy.configure(hosts, now: now)
            proxies.append(proxy)
        }
    }

    private mutating func change(_ place: Int, _ verb: String, _ words: [String]) throws {
        switch verb {
        case "sees":
            let behaviour = try behaviour(words.dropFirst())
            for host in words.first == "all" ? hosts : [words.first ?? ""] { proxies[place].behaviours[host] = behaviour }
        case "lies":
            guard words.count >= 2, let count = UInt64(words[0]) else { throw bad("what does it say?") }
            let counts = words[1] == "errors" ? AttemptCounts(errors: count) : AttemptCounts(successes: count)
            proxies[place].lie = (counts, words.count > 3 ? try text.number(words[3]) : hosts.count)
        case "cut": proxies[place].isCut = true
        case "mend": proxies[place].isCut = false
        case "repeats": proxies[place].copies = try text.number(words.first)
        case "overtaken": overtaken.insert(place)
        case "clock": proxies[place].clockNanoseconds = try text.time(words.first)
        case "alternates": proxies[place].collectors = Array(collectors.indices)
        case "reports": proxies[place].collectors = [try collector(words.first)]
        case "leaves", "returns":
            guard let host = words.first else { throw bad("which endpoint?") }
            let others = proxies[place].slots.keys.filter { $0 != host }
            proxies[place].configure(verb == "leaves" ? others.sorted() : (others + [host]).sorted(), now: now)
        default: throw bad("unknown statement \(verb)")
        }
    }

    /// `3 ok 1 500 20ms`
    private func behaviour(_ words: ArraySlice<String>) throws -> SimulatedProxy.Behaviour {
        var behaviour = SimulatedProxy.Behaviour()
        var words = Array(words)
        if let last = words.last, last.hasSuffix("ms") { behaviour.milliseconds = try text.time(words.removeLast()) / 1_000_000 }
        for pair in stride(from: 0, to: words.count - 1, by: 2) {
            let outcome: AttemptOutcome
            switch words[pair + 1] {
            case "ok": outcome = .response(status: 200)
            case "connect-failed": outcome = .connectFailed
            default: outcome = .response(status: UInt16(try text.number(words[pair + 1])))
            }
            behaviour.outcomes.append((outcome, try text.number(words[pair])))
        }
        return behaviour
    }

    // MARK: Time

    private mutating func live(until end: MonotonicInstant) throws {
        guard end >= now else { throw bad("time goes back") }
        while now < end {
            now = now + MeshWorld.second
            for place in collectors.indices { collectors[place].tick(now: now) }
            for place in proxies.indices {
                proxies[place].live(now: now)
                // Not all in the same second.
                let phase = UInt64(place) * MeshWorld.second % reportNanoseconds
                if (now.nanoseconds - start.nanoseconds + phase) % reportNanoseconds == 0 { send(place) }
            }
        }
    }

    private mutating func send(_ place: Int) {
        let reports = proxies[place].reports(now: now)
        if overtaken.remove(place) != nil, let report = reports.first {
            held.append((report, place))
            return
        }
        for report in reports { deliver(report, place) }
        for late in held where late.from == place { deliver(late.report, place) }
        held.removeAll { $0.from == place }
    }

    private mutating func deliver(_ report: MeshReport, _ place: Int) {
        reportsSent += 1
        let targets = proxies[place].collectors
        let target = targets[reportsSent / max(1, proxies.count) % targets.count]
        guard collectors[target].isUp else { return }
        let follower = proxies[place].follower
        let word = collectors[target].take(report, epoch: follower.epoch, generation: follower.generation, now: now)
        proxies[place].hear(word, now: now)
    }

    // MARK: Expectations

    private func expect(_ words: [String]) throws {
        guard words.count >= 2 else { throw bad("expect what?") }
        let at = Comment(rawValue: position)
        switch words[0] {
        case "ejected", "admitted":
            for place in try places(words[1]) {
                for host in words.count > 2 && words[2] != "all" ? Array(words.dropFirst(2)) : hosts {
                    guard let slot = proxies[place].slots[host] else { throw bad("no host \(host)") }
                    let proxy = proxies[place]
                    #expect(proxy.state.isAvailable(slot) == (words[0] == "admitted"), "\(position): \(host) at \(proxy.name)")
                }
            }
        case "mesh": try expectMesh(Array(words.dropFirst()), at)
        case "alone":
            for place in try places(words[1]) { #expect(proxies[place].follower.isAlone == (words.last == "yes"), at) }
        case "panic":
            for place in try places(words[1]) { #expect(proxies[place].isPanicking == (words.last == "yes"), at) }
        case "returns":
            for place in try places(words[1]) { #expect((proxies[place].follower.returns > 0) == (words.last == "yes"), at) }
        case "endpoints": #expect(collectors[try collector(words[1])].judge.size.endpoints == (try text.number(words.last)), at)
        case "counted": #expect(try counter(words) == (try text.number(words.last)), at)
        case "longest":
            let longest = collectors[try collector(words[1])].judge.decisions(now: now).map { decision -> UInt64 in
                guard case .ejected(let until, _) = decision.outcome else { return 0 }
                return until.nanoseconds(since: decision.at)
            }.max()
            #expect(longest == (try text.time(words.last)), at)
        default: throw bad("unknown expectation \(words[0])")
        }
    }

    private func expectMesh(_ words: [String], _ at: Comment) throws {
        guard words.count >= 3 else { throw bad("which collector and endpoint?") }
        let judge = collectors[try collector(words[1])].judge
        let because = words.firstIndex(of: "because")
        let named = Array(words[2..<(because ?? words.count)])
        for host in named == ["all"] ? hosts : named {
            let running = judge.ejections.first { $0.endpoint == SimulatedProxy.address(host) }
            #expect((running != nil) == (words[0] == "ejected"), "\(position): \(host)")
            if let because, because + 1 < words.count { #expect(running?.reason.name == words[because + 1], at) }
        }
    }

    private func counter(_ words: [String]) throws -> Int {
        guard words.count == 4 else { throw bad("which counter?") }
        let counters = collectors[try collector(words[1])].judge.counters
        let value =
            switch words[2] {
            case "ejections": counters.ejections.reduce(0, +)
            case "unejections": counters.unejections
            case "outvoted": counters.outvoted
            case "stale": counters.clustersStale
            case "repeated": counters.reportsRepeated
            case "beyond_limits": min(1, counters.beyondLimits)
            case "max_ejection_percent": min(1, counters.preventedByMaxEjectionPercent)
            case "min_health_percent": min(1, counters.preventedByMinHealthPercent)
            case "not_enforced": min(1, counters.notEnforced)
            case "too_few_reporters": min(1, counters.tooFewReporters)
            default: throw bad("unknown counter \(words[2])")
            }
        return Int(value)
    }

    // MARK: Words

    private func places(_ name: String?) throws -> [Int] {
        let found = name == "all" ? Array(proxies.indices) : proxies.indices.filter { proxies[$0].name == name }
        guard !found.isEmpty else { throw bad("no proxy \(name ?? "")") }
        return found
    }

    private func collector(_ word: String?) throws -> Int {
        let place = try text.number(word) - 1
        guard collectors.indices.contains(place) else { throw bad("no collector \(word ?? "")") }
        return place
    }
}

@Suite struct MeshScenarioTests {
    @Test(arguments: MeshScenarioRunner.files)
    func behavesAsWritten(file: String) throws {
        var runner = try MeshScenarioRunner(file: file)
        try runner.run()
        #expect(runner.expectations > 0, "\(file) expects nothing")
    }

    /// An empty folder would make the test above pass.
    @Test func scenariosAreThere() { #expect(MeshScenarioRunner.files.count >= 17) }
}

import OutlierDetection
import Primitives
import Testing

private typealias World = MeshWorld

/// What each detector finds, who has to agree, and how many may be out.
@Suite struct MeshJudgeTests {
    /// Two errors at each of three proxies are no verdict anywhere, and six in a row for the mesh.
    @Test func failuresSpreadOverReportersEject() throws {
        var world = World()
        for name in ["a", "b", "c"] { world.report(name, [World.seen(1, errors: 2), World.seen(2, ok: 40)]) }
        let decision = try #require(world.endWindow().ejections.first)
        #expect(world.ejected == [World.address(1)])
        #expect(decision.reason == .consecutive5xx)
        let evidence = try #require(decision.evidence)
        #expect(evidence.value == 6 && evidence.threshold == 5 && evidence.agreeing == 3 && evidence.reporters == 3)
        #expect(evidence.text(.consecutive5xx).hasPrefix("6 failures without a success between them, threshold 5; volume 6; 3 of 3"))
        #expect(Set(evidence.sayings.map(\.reporter)) == ["a", "b", "c"])
    }

    @Test func runsGoOnOverWindowsWithoutASuccess() {
        var world = World()
        for name in ["a", "b"] { world.report(name, [World.seen(1, errors: 2)]) }
        #expect(world.endWindow().isEmpty)
        for name in ["a", "b"] { world.report(name, [World.seen(1, errors: 1)]) }
        #expect(world.endWindow().ejections.count == 1)
    }

    @Test func aSuccessOfAnyReporterEndsARun() {
        var world = World()
        for name in ["a", "b"] { world.report(name, [World.seen(1, errors: 2)]) }
        world.endWindow()
        world.report("a", [World.seen(1, ok: 1, errors: 4)])
        world.report("b", [World.seen(1, errors: 4)])
        #expect(world.endWindow().isEmpty)
        #expect(world.ejected.isEmpty)
    }

    @Test func gatewayErrorsAreJudgedWhereTheyAreAskedFor() {
        var world = World()
        world.settings = .istio(consecutive5xxErrors: 0, consecutiveGatewayErrors: 4, maxEjectionPercent: 50)
        for name in ["a", "b"] { world.report(name, [World.seen(1, gateway: 1, local: 1), World.seen(2, errors: 9)]) }
        #expect(world.endWindow().ejections.map(\.reason) == [.consecutiveGatewayFailure])
        #expect(world.ejected == [World.address(1)])
        // Another 5xx interrupts a run of gateway errors.
        for name in ["a", "b"] { world.report(name, [World.seen(3, errors: 1, gateway: 4)]) }
        #expect(world.endWindow().isEmpty)
    }

    /// Alone, a reporter's verdict is the mesh's at the end of the window, also where successes hide the run.
    @Test func oneReporterAloneIsBelieved() {
        var world = World()
        var endpoint = World.seen(1, ok: 20, errors: 5)
        endpoint.ejected = .consecutive5xx
        world.report("a", [endpoint])
        #expect(world.endWindow().ejections.map(\.reason) == [.consecutive5xx])
    }

    @Test func mostLocalVerdictsAreTheMeshs() {
        var world = World()
        for name in ["a", "b", "c"] {
            var endpoint = World.seen(1, ok: 20, errors: 5)
            if name != "c" { endpoint.ejected = .consecutive5xx }
            world.report(name, [endpoint])
        }
        #expect(world.endWindow().ejections.count == 1)
    }

    /// Semantics 2.5: rates {50, 100, 100, 100, 100} have threshold 52. The counts of two reporters are added.
    @Test func successRatesAreComparedOverTheMesh() throws {
        var world = World()
        world.settings.enforcingSuccessRate = 100
        world.settings.consecutive5xx = 0
        for name in ["a", "b"] {
            world.report(name, [World.seen(0, ok: 25, errors: 25)] + (1..<5).map { World.seen($0, ok: 50) })
        }
        let decision = try #require(world.endWindow().ejections.first)
        #expect(decision.reason == .successRate && decision.endpoint == World.address(0))
        #expect(decision.evidence?.value == 50 && decision.evidence.map { abs($0.threshold - 52) < 0.001 } == true)
    }

    @Test(arguments: [(84, false), (85, true)])
    func failurePercentageIsInclusive(_ failures: UInt64, _ isEjected: Bool) {
        var world = World()
        world.settings.enforcingFailurePercentage = 100
        world.settings.consecutive5xx = 0
        for name in ["a", "b"] {
            world.report(name, [World.seen(0, ok: 100 - failures, errors: failures)] + (1..<5).map { World.seen($0, ok: 50) })
        }
        #expect(world.endWindow().ejections.isEmpty != isEjected)
    }

    @Test func windowedErrorRateIsShownAndEjectsWhereItIsEnforced() {
        for isEnforced in [false, true] {
            var detectors = MeshDetectors()
            detectors.enforcesErrorRate = isEnforced
            var world = World(detectors: detectors)
            var decisions: [MeshDecision] = []
            for _ in 0..<3 {
                for name in ["a", "b"] { world.report(name, [World.seen(1, ok: 4, errors: 6)]) }
                decisions += world.endWindow()
            }
            // 20 and 40 attempts are too few, 60 are enough.
            #expect(decisions.map(\.outcome.name) == [isEnforced ? "ejected" : "not_enforced"])
            #expect(decisions.first?.evidence?.value == 60)
        }
    }

    @Test func latencyIsHeldAgainstThePeersMedian() throws {
        var detectors = MeshDetectors()
        detectors.enforcesLatency = true
        var world = World(detectors: detectors)
        func window(slow: Bool, requests: UInt64 = 50) -> [MeshDecision] {
            for name in ["a", "b"] {
                world.report(
                    name,
                    (0..<5).map { number in
                        var endpoint = World.seen(number, ok: requests)
                        // 10…25 ms for all but the first: 500…1000 ms.
                        endpoint.latency.buckets[slow && number == 0 ? 9 : 4] = requests
                        return endpoint
                    })
            }
            return world.endWindow().ejections
        }
        // One window is a matter of chance; one between two slow ones begins the row anew, one with few requests does not.
        #expect(window(slow: true).isEmpty && window(slow: false).isEmpty && window(slow: true).isEmpty)
        #expect(window(slow: false, requests: 1).isEmpty)
        let decision = try #require(window(slow: true).first)
        #expect(decision.reason == .latency && decision.endpoint == World.address(0))
        #expect(decision.evidence.map { $0.value > 900 && $0.threshold < 100 && $0.windows == 2 } == true)
    }

    @Test func ejectionsEndAndGrowWithRepetition() {
        var world = World()
        var lengths: [UInt64] = []
        for _ in 0..<3 {
            while world.ejected.isEmpty {
                for name in ["a", "b"] { world.report(name, [World.seen(1, errors: 5)]) }
                world.endWindow()
            }
            let began = world.now
            while !world.ejected.isEmpty {
                for name in ["a", "b"] { world.report(name, [World.seen(2, ok: 5)]) }
                world.endWindow()
            }
            lengths.append(world.now.nanoseconds(since: began) / World.second)
        }
        #expect(lengths == [30, 60, 90])
        let said = world.judge.decisions(now: world.now).map(\.outcome.name)
        #expect(said == ["ejected", "unejected", "ejected", "unejected", "ejected", "unejected"])
    }

    @Test func aWordIsOfTheReportersClustersAndItsGenerationTellsAChange() {
        var world = World()
        world.report("a", [])
        let before = world.judge.generation
        world.endWindow()
        #expect(world.judge.generation == before)
        world.report("a", [World.seen(1, errors: 5)])
        world.endWindow()
        #expect(world.judge.generation > before)
        let word = world.judge.word(for: "a", now: world.now)
        #expect(word.ejections.map(\.endpoint) == [World.address(1)] && word.ejections.first?.nanosecondsLeft == 30 * World.second)
        #expect(world.judge.word(for: "stranger", now: world.now).ejections.isEmpty)
    }

    /// Suspicions that come to nothing, however many, leave the answer to "why was it out" alone.
    @Test func suspicionsDoNotDisplaceEjections() {
        var limits = MeshLimits()
        limits.decisionsMax = 10
        limits.historyNanoseconds = .max
        var world = World(limits: limits)
        world.report("a", [World.seen(1, errors: 5)])
        world.endWindow()
        for _ in 0..<20 {
            // Longer than one suspicion is said once for.
            for _ in 0..<9 {
                for name in ["a", "b"] { world.report(name, (2..<8).map { World.seen($0, ok: 1) }) }
                world.endWindow()
            }
            for _ in 0..<2 {
                world.report("a", (2..<8).map { World.seen($0, errors: 9) })
                world.report("b", [])
                world.endWindow()
            }
        }
        let decisions = world.judge.decisions(now: world.now)
        #expect(decisions.count { $0.outcome == .outvoted } == 10 && decisions.map(\.outcome.name).prefix(2) == ["ejected", "unejected"])
        #expect(decisions.map(\.sequence) == decisions.map(\.sequence).sorted())
    }

    @Test func historyAnswersForAnHourAndNoLonger() {
        var world = World()
        world.report("a", [World.seen(1, errors: 5)])
        world.endWindow()
        let ejected = world.now
        #expect(world.judge.decisions(now: ejected + 3600 * World.second).count == 1)
        #expect(world.judge.decisions(now: ejected + 3601 * World.second).isEmpty)
    }
}

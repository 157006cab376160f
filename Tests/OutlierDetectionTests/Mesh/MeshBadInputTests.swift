import OutlierDetection
import Primitives
import Testing

private typealias World = MeshWorld

/// Reporters that lie, repeat themselves, come late, and clusters in which everything fails.
@Suite struct MeshBadInputTests {
    /// A broken client sees failures everywhere; the others do not.
    @Test func oneReporterWithFailuresOnlyEjectsNobody() {
        var world = World()
        for _ in 0..<50 {
            world.report("broken", (0..<10).map { endpoint in
                var seen = World.seen(endpoint, errors: 1_000)
                seen.ejected = .consecutive5xx
                return seen
            })
            for name in ["a", "b"] { world.report(name, (0..<10).map { World.seen($0, ok: 20) }) }
            world.endWindow()
            #expect(world.ejected.isEmpty)
        }
    }

    /// Also while the others happen to be silent: what they last said holds for six windows.
    @Test func theOthersSilenceDoesNotGiveItTheWord() {
        var world = World()
        for name in ["a", "b"] { world.report(name, [World.seen(1, ok: 20)]) }
        world.endWindow()
        for _ in 0..<4 {
            world.report("broken", [World.seen(1, errors: 100)])
            for name in ["a", "b"] { world.report(name, []) }
            let decisions = world.endWindow()
            #expect(decisions.isEmpty || decisions.has(.outvoted))
            #expect(world.ejected.isEmpty)
        }
        #expect(world.judge.counters.outvoted >= 3)
        #expect(world.judge.decisions(now: world.now).count { $0.outcome == .outvoted && $0.reason == .consecutive5xx } == 1, "said once")
    }

    /// A hundred processes of one certificate have one voice; so have three replicas of which one is broken.
    @Test func processesOfOneIdentityHaveOneVoice() {
        var world = World()
        for number in 0..<100 { world.report("broken-\(number)", [World.seen(1, errors: 10)], principal: "mesh/ns/x/sa/broken") }
        for name in ["a", "b"] { world.report(name, [World.seen(1, ok: 20)], principal: "mesh/ns/x/sa/\(name)") }
        world.endWindow()
        #expect(world.ejected.isEmpty)

        var replicas = World()
        replicas.report("r1", [World.seen(1, errors: 10)], principal: "mesh/ns/x/sa/r")
        for name in ["r2", "r3"] { replicas.report(name, [World.seen(1, ok: 1)], principal: "mesh/ns/x/sa/r") }
        replicas.endWindow()
        #expect(replicas.ejected.isEmpty)
    }

    /// Successes that nobody had hold back what is counted, not what most have found themselves.
    @Test func oneReporterWithSuccessesOnlyDoesNotSaveAnEndpointThatMostHaveEjected() {
        var world = World()
        world.report("liar", [World.seen(1, ok: .max)])
        for name in ["a", "b"] {
            var seen = World.seen(1, errors: 5)
            seen.ejected = .consecutive5xx
            world.report(name, [seen])
        }
        #expect(world.endWindow().ejections.count == 1)
    }

    @Test func theLargestNumbersAddUpToTheLargestNumber() {
        var world = World()
        world.settings.enforcingFailurePercentage = 100
        world.settings.enforcingSuccessRate = 100
        world.hosts = .max
        world.settings.baseEjectionTimeNanoseconds = .max
        world.settings.maxEjectionTimeJitterNanoseconds = .max
        for name in ["a", "b", "c"] {
            world.report(
                name,
                (0..<6).map { number in
                    var seen = World.seen(number, ok: .max, errors: .max, gateway: .max, local: .max)
                    for bucket in 0..<LatencyCounts.count { seen.latency.buckets[bucket] = .max }
                    return seen
                }, period: .max)
        }
        for name in ["a", "b", "c"] {
            world.report(name, (0..<6).map { World.seen($0, ok: .max, errors: .max, gateway: .max, local: .max) })
        }
        world.endWindow()
        world.endWindow()
    }

    /// What is said of a decision is made of the same numbers: a collector logs it, and `skein outliers` shows it.
    @Test func theLargestNumbersCanBeSaid() {
        for (seen, reason) in [
            (World.seen(1, errors: .max), EjectionReason.consecutive5xx), (World.seen(1, gateway: .max), .consecutiveGatewayFailure),
            (World.seen(1, local: .max), .consecutiveLocalOriginFailure), (World.seen(1, ok: 0, errors: .max), .errorRate),
        ] {
            var world = World()
            world.settings.splitExternalLocalOriginErrors = true
            world.settings.enforcingConsecutiveGateway = 100
            world.settings.consecutive5xx = reason == .errorRate ? 0 : 5
            world.detectors = MeshDetectors()
            world.detectors?.enforcesErrorRate = true
            world.report("a", [seen])
            let decisions = world.endWindow()
            #expect(decisions.contains { $0.reason == reason }, "\(reason)")
            for decision in decisions {
                #expect(decision.reason.flatMap { decision.evidence?.text($0) }?.isEmpty == false)
            }
        }
    }

    @Test func aMillionEndpointsAreBoundedAndSaid() {
        var limits = MeshLimits()
        limits.endpointsMax = 100
        limits.endpointsPerReportMax = 1_000
        limits.opinionsMax = 150
        var world = World(limits: limits)
        world.report("a", (0..<5_000).map { World.seen($0, ok: 1) })
        world.report("b", (0..<5_000).map { World.seen($0, ok: 1) })
        #expect(world.judge.size.endpoints == 100 && world.judge.size.opinions == 150)
        #expect(world.judge.counters.beyondLimits == 1_850)
        // Its places are free again when it stops.
        for _ in 0..<9 { world.endWindow() }
        #expect(world.judge.size.endpoints == 0)
    }

    @Test func reportersAndClustersAreBounded() {
        var limits = MeshLimits()
        limits.reportersMax = 2
        limits.clustersMax = 1
        var world = World(limits: limits)
        #expect(world.report("a", []) == .taken)
        #expect(world.report("b", []) == .taken)
        #expect(world.report("c", []) == .beyondLimits)
        world.now = world.now + limits.silenceNanoseconds + 1
        world.endWindow()
        #expect(world.report("c", []) == .taken, "silent reporters are forgotten")
        var other = MeshReport(reporter: "c", sequence: 100, periodNanoseconds: 1)
        other.clusters = ["x", "y"].map { MeshReport.Cluster(name: $0, settings: OutlierSettings(), hosts: 1) }
        #expect(world.judge.take(other, now: world.now) == .taken)
        #expect(world.judge.size.clusters == 1)
    }

    @Test func aReportCountsOnceWhateverItsOrder() {
        var world = World()
        world.report("a", [World.seen(1, errors: 3)], sequence: 5)
        #expect(world.report("a", [World.seen(1, errors: 3)], sequence: 5) == .repeated)
        #expect(world.report("a", [World.seen(1, errors: 3)], sequence: 4) == .repeated)
        world.endWindow()
        #expect(world.ejected.isEmpty && world.judge.counters.reportsRepeated == 2)
    }

    /// A report that waited for an outage to end says how things were.
    @Test func aReportOfALongTimeJudgesNobody() {
        var world = World()
        world.report("a", [])
        world.report("a", [World.seen(1, errors: 500)], period: 600 * World.second)
        world.endWindow()
        #expect(world.ejected.isEmpty && world.judge.counters.clustersStale == 1)
        var seen = World.seen(1, ok: 500)
        seen.ejected = .consecutive5xx
        world.report("a", [seen], period: 600 * World.second)
        world.endWindow()
        #expect(world.ejected.count == 1, "but that local detection has it out is so now")
    }

    /// One reporter says that the cluster is large, so that more may be ejected; and that everything may be.
    @Test func sizeAndSettingsAreThoseOfMost() {
        var world = World()
        world.hosts = 4
        world.settings.maxEjectionPercent = 25
        for name in ["a", "b"] { world.report(name, (0..<4).map { World.seen($0, errors: 5) }) }
        world.hosts = 1_000_000
        world.settings.maxEjectionPercent = 100
        world.report("liar", (0..<4).map { World.seen($0, errors: 5) })
        world.endWindow()
        #expect(world.ejected.count == 1)
        #expect(world.judge.counters.preventedByMaxEjectionPercent == 3)
    }

    @Test func everythingFailingIsBoundedByMinHealthPercentToo() {
        var world = World()
        world.settings.maxEjectionPercent = 100
        world.settings.minHealthPercent = 70
        for name in ["a", "b"] { world.report(name, (0..<10).map { World.seen($0, errors: 5) }) }
        let decisions = world.endWindow()
        #expect(world.ejected.count == 3)
        #expect(decisions.has(.preventedByMinHealthPercent))
    }

    /// What comes back under an address begins anew, once most have said that it was away.
    @Test func anAddressThatLeavesAndComesBackBeginsAnew() {
        var world = World()
        for name in ["a", "b", "c"] { world.report(name, [World.seen(1, errors: 5)]) }
        world.endWindow()
        #expect(world.ejected.count == 1)
        var gone = World.seen(1)
        gone.isAbsent = true
        world.report("a", [gone])
        world.endWindow()
        #expect(world.ejected.count == 1, "one may be wrong")
        for name in ["a", "b", "c"] { world.report(name, [gone]) }
        #expect(world.endWindow().has(.unejected(.removed)))
        #expect(world.ejected.isEmpty)
        for name in ["a", "b", "c"] { world.report(name, [World.seen(1, errors: 5)]) }
        world.endWindow()
        #expect(world.judge.ejections.first?.ejections == 1)
    }

    /// An endpoint that fails each time it is back stays away longer and longer, up to 300 s.
    @Test func flappingGrowsToItsBound() {
        var world = World()
        var longest: UInt64 = 0
        for _ in 0..<2_000 {
            let isOut = !world.ejected.isEmpty
            for name in ["a", "b"] { world.report(name, isOut ? [] : [World.seen(1, errors: 5)]) }
            for decision in world.endWindow().ejections {
                if case .ejected(let until, _) = decision.outcome { longest = max(longest, until.nanoseconds(since: world.now)) }
            }
        }
        #expect(longest == 300 * World.second)
    }

    /// Rates around one percent of errors, a hundred thousand windows of an endpoint: nobody is ejected.
    @Test(arguments: [UInt64(1), 2, 3])
    func healthyEndpointsAreNeverEjected(_ seed: UInt64) {
        var random = RandomSource(seed: seed)
        var detectors = MeshDetectors()
        detectors.enforcesErrorRate = true
        detectors.enforcesLatency = true
        var world = World(seed: seed, detectors: detectors)
        world.settings.enforcingFailurePercentage = 100
        var wrong = 0
        for _ in 0..<3_334 {
            for name in ["a", "b", "c"] {
                world.report(
                    name,
                    (0..<10).map { number in
                        let attempts = UInt64(random.below(60))
                        var seen = World.seen(number)
                        for _ in 0..<attempts {
                            if random.below(100) == 0 { seen.counts.errors += 1 } else { seen.counts.successes += 1 }
                            seen.latency.buckets[Int(2 + random.below(3))] += 1
                        }
                        return seen
                    })
            }
            wrong += world.endWindow().ejections.count
        }
        #expect(wrong == 0, "seed \(seed)")
    }
}

import OutlierDetection
import Primitives
import Testing

private typealias World = MeshWorld

/// What a MeshOutlierDetection says, as reports carry it to the judge.
@Suite struct MeshDetectorsTests {
    private static func only(_ change: (inout MeshDetectors) -> Void) -> MeshDetectors {
        var detectors = MeshDetectors()
        detectors.errorRate = nil
        detectors.latency = nil
        detectors.enforcesErrorRate = true
        detectors.enforcesLatency = true
        change(&detectors)
        return detectors
    }

    private static func errorRate(_ percent: UInt64, volume: UInt64, windows: UInt64) -> MeshDetectors {
        only {
            var rate = MeshDetectors.ErrorRate()
            (rate.percent, rate.volume, rate.windows) = (percent, volume, windows)
            $0.errorRate = rate
        }
    }

    /// The same outcomes, window after window, until somebody is ejected or ten have passed.
    private static func windowsToEject(_ world: inout World, ok: UInt64, errors: UInt64) -> Int? {
        for window in 1...10 {
            for name in ["a", "b"] { world.report(name, [World.seen(1, ok: ok, errors: errors)]) }
            if !world.endWindow().ejections.isEmpty { return window }
        }
        return nil
    }

    @Test(arguments: [(50, 40, 1, nil), (50, 20, 1, 1), (50, 40, 2, 2), (50, 100, 10, 5), (60, 20, 1, 1), (61, 20, 1, nil)])
    func theErrorRateIsJudgedByTheResource(_ percent: UInt64, _ volume: UInt64, _ windows: UInt64, _ expected: Int?) {
        var world = World()
        world.detectors = Self.errorRate(percent, volume: volume, windows: windows)
        #expect(Self.windowsToEject(&world, ok: 4, errors: 6) == expected)
    }

    @Test func latencyIsJudgedByTheResource() {
        // 10...25 ms for the peers, 50...100 ms for one.
        func ejected(_ change: (inout MeshDetectors.Latency) -> Void) -> Int {
            var world = World()
            var slow = MeshDetectors.Latency()
            change(&slow)
            world.detectors = Self.only { $0.latency = slow }
            var ejections = 0
            for _ in 0..<2 {
                for name in ["a", "b"] {
                    world.report(
                        name,
                        (0..<4).map { number in
                            var endpoint = World.seen(number, ok: 30)
                            endpoint.latency.buckets[number == 0 ? 6 : 4] = 30
                            return endpoint
                        })
                }
                ejections += world.endWindow().ejections.count
            }
            return ejections
        }
        #expect(ejected { _ in } == 1)
        #expect(ejected { $0.factorThousandths = 5_000 } == 0)
        #expect(ejected { $0.millisecondsMin = 200 } == 0)
        #expect(ejected { $0.volume = 61 } == 0)
        #expect(ejected { $0.peersMin = 4 } == 0)
        #expect(ejected { $0.windows = 3 } == 0)
    }

    /// Whatever finds an endpoint: the two of the mesh, a DestinationRule's, and the verdicts of most proxies.
    @Test func reportOnlyShowsAndEjectsNobody() {
        var world = World()
        world.detectors = Self.errorRate(50, volume: 10, windows: 1)
        world.detectors?.ejects = false
        for name in ["a", "b"] {
            var endpoint = World.seen(1, errors: 10)
            endpoint.ejected = .consecutive5xx
            world.report(name, [endpoint])
        }
        let decisions = world.endWindow()
        #expect(Set(decisions.map(\.outcome.name)) == ["not_enforced"])
        #expect(Set(decisions.compactMap(\.reason)) == [.consecutive5xx, .errorRate])
        #expect(world.ejected.isEmpty)
    }

    @Test func fewerReportersThanAskedForEjectNobody() {
        for (names, isEjected) in [(["a"], false), (["a", "b"], false), (["a", "b", "c"], true)] {
            var world = World()
            world.detectors = Self.only { $0.voicesMin = 3 }
            for name in names { world.report(name, [World.seen(1, errors: 9)]) }
            let decisions = world.endWindow()
            #expect(decisions.ejections.isEmpty != isEjected && decisions.has(.tooFewReporters) != isEjected)
        }
        // Processes of one identity count once.
        var world = World()
        world.detectors = Self.only { $0.voicesMin = 2 }
        for name in ["a", "b", "c"] { world.report(name, [World.seen(1, errors: 9)], principal: "mesh/ns/x/sa/one") }
        #expect(world.endWindow().has(.tooFewReporters))
        #expect(world.judge.counters.tooFewReporters == 1)
    }

    /// One reporter, with another configuration or a lie, neither switches a detector on for all nor off.
    @Test func detectorsAreThoseOfMost() {
        for (most, isEjected) in [(Self.errorRate(50, volume: 10, windows: 1), true), (Self.only { _ in }, false)] {
            var world = World()
            world.settings.consecutive5xx = 0
            for name in ["a", "b", "c"] {
                world.detectors = name == "c" ? Self.errorRate(1, volume: 1, windows: 1) : most
                world.report(name, [World.seen(1, ok: 2, errors: 8)])
            }
            #expect(world.endWindow().ejections.isEmpty != isEjected)
        }
    }

    /// Without the resource a cluster is judged by the collector's own.
    @Test func withoutTheResourceTheCollectorDecides() {
        var own = MeshDetectors()
        own.enforcesErrorRate = true
        var world = World(detectors: own)
        #expect(Self.windowsToEject(&world, ok: 4, errors: 6) == 3)
        var quiet = World(detectors: own)
        quiet.detectors = Self.only { _ in }
        #expect(Self.windowsToEject(&quiet, ok: 4, errors: 6) == nil)
    }

    /// Numbers come from the network.
    @Test func numbersOutOfRangeAreBroughtIntoIt() {
        for value in [UInt64(0), .max] {
            var detectors = Self.errorRate(value, volume: value, windows: value)
            var slow = MeshDetectors.Latency()
            (slow.factorThousandths, slow.millisecondsMin, slow.volume, slow.peersMin, slow.windows) = (value, value, value, value, value)
            detectors.latency = slow
            detectors.voicesMin = value
            var world = World()
            world.settings.consecutive5xx = 0
            world.detectors = detectors
            for _ in 0..<3 {
                for name in ["a", "b"] {
                    world.report(
                        name,
                        (0..<4).map { number in
                            var endpoint = World.seen(number, ok: 30)
                            endpoint.latency.buckets[4] = 30
                            return endpoint
                        })
                }
                #expect(world.endWindow().ejections.isEmpty)
            }
            let bounded = detectors.bounded
            #expect(bounded.bounded == bounded)
            #expect((1...100).contains(bounded.errorRate?.percent ?? 0) && (1...10).contains(bounded.errorRate?.windows ?? 0))
        }
    }
}

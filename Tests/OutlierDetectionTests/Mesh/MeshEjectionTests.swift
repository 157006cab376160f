import OutlierDetection
import Primitives
import Testing

/// Ejections of the mesh beside local ones, at one proxy.
@Suite struct MeshEjectionTests {
    private static let second: UInt64 = 1_000_000_000

    private struct Rig {
        let state = UpstreamState(clustersMax: 4, endpointsMax: 64)
        let judge: OutlierJudge
        let key = ClusterKey(1)
        var settings = OutlierSettings()
        var slots: [EndpointSlot] = []
        var now = MonotonicInstant(nanoseconds: 1_000_000_000)

        init(endpoints: Int, percent: UInt32) {
            judge = OutlierJudge(state: state, seed: 1)
            settings.maxEjectionPercent = percent
            let member = ClusterMembership(key: key, endpoints: (0..<endpoints).map { MeshWorld.address($0) })
            slots = state.slots(for: [member]).clusters[0].endpoints
            configure(slots)
        }

        func configure(_ slots: [EndpointSlot]) {
            judge.configure([OutlierCluster(key: key, settings: settings, endpoints: slots)], now: now)
        }

        func mesh(_ places: [Int], seconds: UInt64 = 30) {
            let until = now + seconds * MeshEjectionTests.second
            judge.apply(places.map { MeshEjection(cluster: key, host: slots[$0], reason: .errorRate, until: until) }, now: now)
        }

        func fail(_ place: Int) {
            for _ in 0..<5 {
                let crossing = state.record(.response(status: 500), endpoint: slots[place], thresholds: settings.thresholds)
                if !crossing.isEmpty { judge.crossed(slots[place], crossing, now: now) }
            }
        }

        var out: [Int] { slots.indices.filter { !state.isAvailable(slots[$0]) } }
    }

    @Test func neitherEndsTheOther() {
        var rig = Rig(endpoints: 4, percent: 50)
        rig.mesh([1])
        rig.fail(1)
        #expect(rig.state.meshEjectedUntil(rig.slots[1]) != nil && rig.state.ejectedUntil(rig.slots[1]) != nil)
        rig.mesh([])
        #expect(rig.out == [1], "local detection still has it out")
        rig.mesh([1], seconds: 300)
        rig.now = rig.now + 60 * Self.second
        rig.judge.tick(now: rig.now)
        #expect(rig.state.ejectedUntil(rig.slots[1]) == nil && rig.out == [1], "the mesh still has it out")
        rig.judge.activeHealthCheckSucceeded(rig.slots[1], now: rig.now)
        #expect(rig.out == [1])
        rig.mesh([])
        #expect(rig.out.isEmpty)
    }

    @Test func togetherTheyStayWithinMaxEjectionPercent() {
        let rig = Rig(endpoints: 4, percent: 50)
        rig.mesh([0])
        rig.fail(1)
        rig.fail(2)
        #expect(rig.out == [0, 1])
        rig.mesh([0, 1, 3])
        #expect(rig.out == [0, 1], "an endpoint that both have out counts once")
        #expect(rig.judge.meshEjections().prevented == 1)
    }

    @Test func timeEndsAMeshEjectionWithoutAWord() {
        var rig = Rig(endpoints: 4, percent: 50)
        rig.mesh([2], seconds: 5)
        rig.now = rig.now + 20 * Self.second
        rig.judge.tick(now: rig.now)
        #expect(rig.out.isEmpty)
    }

    @Test func anEndpointThatLeavesIsAdmitted() {
        let rig = Rig(endpoints: 4, percent: 50)
        rig.mesh([0])
        rig.configure(Array(rig.slots.dropFirst()))
        #expect(rig.out.isEmpty)
        #expect(rig.judge.meshEjections().running.isEmpty)
        rig.configure(rig.slots)
        #expect(rig.out.isEmpty)
    }

    @Test func attemptsAreCountedByHowTheyEnded() {
        let rig = Rig(endpoints: 1, percent: 100)
        let outcomes: [AttemptOutcome] = [
            .response(status: 200), .response(status: 404), .connected, .response(status: 500), .response(status: 503), .timedOut,
            .reset, .connectFailed,
        ]
        for outcome in outcomes { _ = rig.state.record(outcome, endpoint: rig.slots[0], thresholds: rig.settings.thresholds) }
        #expect(rig.state.attemptCounts(rig.slots[0]) == AttemptCounts(successes: 3, errors: 1, gatewayErrors: 1, localFailures: 3))
        rig.judge.crossed(rig.slots[0], .fiveXX, now: rig.now)
        #expect(rig.state.localEjections(rig.slots[0]).map { "\($0.count) \($0.reason)" } == "1 consecutive5xx")
    }
}

import OutlierDetection
import Primitives
import Testing

@Suite struct OutlierJudgeTests {
    static func seconds(_ value: UInt64) -> MonotonicInstant { MonotonicInstant(nanoseconds: value * 1_000_000_000) }

    @Test func theLogKeepsTheLastEvents() {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
        let cluster = UpstreamStateTests.one(state)
        let judge = OutlierJudge(state: state, seed: 1)
        var settings = OutlierSettings()
        settings.maxEjectionPercent = 100
        judge.configure([OutlierCluster(key: cluster.key, settings: settings, endpoints: cluster.endpoints)], now: Self.seconds(0))
        for round in 0..<200 as Range<UInt64> {
            #expect(judge.crossed(cluster.endpoints[0], .fiveXX, now: Self.seconds(round)))
            judge.activeHealthCheckSucceeded(cluster.endpoints[0], now: Self.seconds(round))
        }
        let events = judge.events()
        #expect(events.count == OutlierJudge.eventsMax)
        #expect(events.map(\.sequence) == Array(144..<400))
        #expect(events.last?.kind == .unejected(.healthCheckPassed) && events.last?.endpoint == UpstreamStateTests.address(0))
        #expect(events.last?.cluster == cluster.key && events.last?.at == Self.seconds(199))
    }

    @Test func switchingDetectionOffAdmitsEverybody() {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
        let cluster = UpstreamStateTests.one(state)
        let judge = OutlierJudge(state: state, seed: 1)
        var settings = OutlierSettings()
        settings.alwaysEjectOneHost = true
        judge.configure([OutlierCluster(key: cluster.key, settings: settings, endpoints: cluster.endpoints)], now: Self.seconds(0))
        judge.crossed(cluster.endpoints[0], .fiveXX, now: Self.seconds(1))
        #expect(state.isEjected(cluster.endpoints[0]) && judge.tick(now: Self.seconds(1)) == Self.seconds(10))
        judge.configure([], now: Self.seconds(2))
        #expect(!state.isEjected(cluster.endpoints[0]) && judge.statistics().isEmpty)
        #expect(judge.events().last?.kind == .unejected(.removed))
        #expect(judge.tick(now: Self.seconds(3)) == .distantFuture)
        #expect(!judge.crossed(cluster.endpoints[0], .fiveXX, now: Self.seconds(4)), "a late crossing means nothing")
    }

    /// Clusters tick on their own intervals; a late call runs each once.
    @Test func eachClusterHasItsOwnInterval() {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
        let assignment = state.slots(for: [
            ClusterMembership(key: ClusterKey(1), endpoints: [UpstreamStateTests.address(1)]),
            ClusterMembership(key: ClusterKey(2), endpoints: [UpstreamStateTests.address(2)]),
        ])
        let judge = OutlierJudge(state: state, seed: 1)
        var quick = OutlierSettings(), slow = OutlierSettings()
        (quick.intervalNanoseconds, slow.intervalNanoseconds) = (3_000_000_000, 10_000_000_000)
        let clusters = zip(assignment.clusters, [quick, slow]).map { OutlierCluster(key: $0.key, settings: $1, endpoints: $0.endpoints) }
        judge.configure(clusters, now: Self.seconds(0))
        #expect(judge.tick(now: Self.seconds(0)) == Self.seconds(3))
        #expect(judge.tick(now: Self.seconds(8)) == Self.seconds(10))
        #expect(judge.tick(now: Self.seconds(10)) == Self.seconds(11))
        #expect(judge.tick(now: Self.seconds(11)) == Self.seconds(14))
    }
}

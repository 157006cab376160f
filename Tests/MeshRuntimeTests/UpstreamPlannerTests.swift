import EventLoops
@testable import MeshRuntime
import OutlierDetection
import Primitives
@testable import Proxy
import Routing
import TelemetryModel
import Testing

@Suite struct UpstreamPlannerTests {
    private final class Planning {
        let catalogs = Catalogs()
        let shared: SharedUpstreams
        let prober: HealthProber
        var planner: UpstreamPlanner
        private var generation: UInt64 = 0

        init(clustersMax: Int = 64, endpointsMax: Int = 256) throws {
            shared = SharedUpstreams(seed: 1, state: UpstreamState(clustersMax: clustersMax, endpointsMax: endpointsMax))
            prober = try HealthProber(shared: shared)
            planner = UpstreamPlanner(shared: shared, catalogs: catalogs, prober: prober, resolver: try HostResolver())
        }

        /// The slots of a text, by cluster name and `cluster address`.
        func plan(_ yaml: String) throws -> (clusters: [String: ClusterSlot], endpoints: [String: EndpointSlot]) {
            generation += 1
            let routing = try compile(yaml, catalogs: catalogs, generation: generation)
            let plan = planner.plan(routing)
            #expect(plan.clusters.count == routing.clusterCount)
            #expect(plan.endpoints.count == routing.endpointCount)
            #expect(plan.thresholds.count == routing.clusterCount)
            var clusters: [String: ClusterSlot] = [:]
            var endpoints: [String: EndpointSlot] = [:]
            for (member, slot) in zip(routing.clusterMembers, plan.clusters) {
                let name = catalogs.names.value(member.name.rawValue)
                clusters[name] = slot
                for (address, index) in zip(member.addresses, member.endpoints) { endpoints["\(name) \(address)"] = plan.endpoints[index] }
            }
            return (clusters, endpoints)
        }

        /// What the prober was last told to probe.
        func targets() -> [ProbeTarget] {
            var latest: [ProbeTarget] = []
            for command in prober.mailbox.take() { if case .apply(let targets, _) = command { latest = targets } }
            return latest
        }

        func adopted() { planner.keepHouse(adopted: generation) }
    }

    /// Connections, limits and ejections of an endpoint belong to its slot: after a reload it must be the same one, or counters go below
    /// zero and the ejected are back.
    @Test func slotsStayTheSameOverReloads() throws {
        let planning = try Planning()
        let a = YAML.service("a.example", endpoints: ["10.0.0.1", "10.0.0.2"])
        let b = YAML.service("b.example", endpoints: ["10.0.0.1"])
        let first = try planning.plan(a + b)
        #expect(Set(first.endpoints.values).count == 3, "the same address in two clusters is judged twice: \(first.endpoints)")
        #expect(!first.clusters.values.contains(.none))
        planning.adopted()
        // In another order, with one more service and one endpoint replaced.
        let second = try planning.plan(b + YAML.service("c.example") + YAML.service("a.example", endpoints: ["10.0.0.3", "10.0.0.2"]))
        for (name, slot) in first.clusters { #expect(second.clusters[name] == slot, "\(name)") }
        let kept = Set(first.endpoints.keys).intersection(second.endpoints.keys)
        #expect(kept.count == 2)
        for name in kept { #expect(second.endpoints[name] == first.endpoints[name], "\(name)") }
        #expect(Set(second.endpoints.values).count == second.endpoints.count)
        planning.adopted()
        #expect(try planning.plan(a + b).endpoints.filter { kept.contains($0.key) } == first.endpoints.filter { kept.contains($0.key) })
    }

    /// Until every worker has adopted the new configuration, requests of the old one still count in their rows; those must not be somebody
    /// else's yet.
    @Test func aRowIsGivenToAnotherOnlyWhenNobodyUsesIt() throws {
        let planning = try Planning(clustersMax: 64, endpointsMax: 1)
        let old = try planning.plan(YAML.service("a.example"))
        let slot = try #require(old.endpoints.values.first)
        planning.adopted()
        planning.shared.state.requestBegan(slot)
        _ = try planning.plan(YAML.service("b.example", endpoints: ["10.0.0.9"]))
        #expect(planning.planner.problems.count == 1, "the only row is still the old one's")
        planning.adopted()
        _ = try planning.plan(YAML.service("b.example", endpoints: ["10.0.0.9"]))
        #expect(planning.planner.problems.count == 1, "a request is under way")
        planning.shared.state.requestEnded(slot)
        planning.adopted()
        let new = try planning.plan(YAML.service("b.example", endpoints: ["10.0.0.9"]))
        #expect(planning.planner.problems.isEmpty)
        #expect(Array(new.endpoints.values) == [slot])
    }

    /// What a proxy reports of a cluster, and how it judges it itself: a host without outlierDetection only counts for the mesh.
    @Test func meshOutlierDetectionsBecomeWhatIsReported() throws {
        func resource(_ spec: String) -> String {
            "apiVersion: skein.io/v1\nkind: MeshOutlierDetection\nmetadata: {name: p, namespace: default}\n"
                + "spec: {host: a.example, \(spec)}\n---\n"
        }
        let service = YAML.service("a.example", endpoints: ["10.0.0.1", "10.0.0.2"])
        let planning = try Planning()
        _ = try planning.plan(service)
        #expect(planning.planner.judged.isEmpty)

        _ = try planning.plan(
            service
                + resource(
                    "errorRate: {threshold: 20, windows: 4}, latency: {factor: 2.5, minimum: 40ms, windows: 3}, minimumReporters: 3, "
                        + "maxEjectionPercent: 50"))
        let row = try #require(planning.planner.judged.first)
        #expect(row.detectors?.errorRate?.percent == 20 && row.detectors?.errorRate?.windows == 4 && row.detectors?.errorRate?.volume == 50)
        #expect(row.detectors?.latency?.factorThousandths == 2_500 && row.detectors?.latency?.millisecondsMin == 40)
        #expect(row.detectors?.latency?.windows == 3 && row.detectors?.voicesMin == 3)
        #expect(row.detectors?.ejects == true && row.detectors?.enforcesErrorRate == true && row.detectors?.enforcesLatency == true)
        #expect(row.settings.maxEjectionPercent == 50 && row.settings.consecutive5xx == 0 && row.settings.consecutiveGateway == 0)
        #expect(row.settings.thresholds != .off, "outcomes are counted")
        #expect(row.detectors?.bounded == row.detectors)

        _ = try planning.plan(service + resource("mode: REPORT_ONLY, latency: {}"))
        #expect(planning.planner.judged.first?.detectors?.ejects == false && planning.planner.judged.first?.detectors?.errorRate == nil)
        _ = try planning.plan(service + resource("mode: \"OFF\", latency: {}"))
        #expect(planning.planner.judged.isEmpty)
    }

    /// Probes go to the endpoints of the cluster and to the port that is meant for them; probing another one would eject what is healthy.
    @Test func healthChecksBecomeProbes() throws {
        let planning = try Planning()
        let service = YAML.service("a.example", endpoints: ["10.0.0.1", "10.0.0.2"]) + YAML.service("b.example", endpoints: ["10.0.0.1"])
        func policy(_ check: String) -> String {
            "apiVersion: skein.io/v1\nkind: UpstreamPolicy\nmetadata: {name: p, namespace: default}\nspec:\n  host: a.example\n"
                + "  healthCheck: \(check)\n---\n"
        }
        let plan = try planning.plan(
            service
                + policy(
                    "{interval: 5s, timeout: 500ms, port: 8081, unhealthyThreshold: 4, http: {path: /ready, expectedStatuses: "
                        + "[\"200-299\", \"304\"]}}"))
        let targets = planning.targets()
        #expect(targets.map(\.address.description).sorted() == ["10.0.0.1:8081", "10.0.0.2:8081"])
        #expect(Set(targets.map(\.endpoint)) == Set(plan.endpoints.filter { $0.key.contains("a.example") }.values))
        let first = try #require(targets.first)
        #expect(
            String(decoding: first.request, as: UTF8.self)
                == "GET /ready HTTP/1.1\r\nHost: a.example\r\nUser-Agent: skein-health-check\r\nConnection: close\r\n\r\n")
        #expect(first.statuses == [200...299, 304...304])
        #expect(first.settings.intervalNanoseconds == 5_000_000_000)
        #expect(first.settings.timeoutNanoseconds == 500_000_000)
        #expect(first.settings.unhealthyThreshold == 4)

        _ = try planning.plan(service + policy("{tcp: {}}"))
        let connections = planning.targets()
        #expect(connections.map(\.address.description).sorted() == ["10.0.0.1:80", "10.0.0.2:80"])
        #expect(connections.allSatisfy { $0.request.isEmpty && $0.statuses.isEmpty })

        // Without the policy nothing is probed any more, and that is said, or the last verdict would stay for ever.
        _ = try planning.plan(service)
        guard case .apply(let none, _)? = planning.prober.mailbox.take().last else {
            Issue.record("the prober was told nothing")
            return
        }
        #expect(none.isEmpty)
    }

    /// What is not counted has no limits and no outlier detection. Whoever relies on them must be told, with the numbers.
    @Test func saysWhatIsBeyondTheBounds() throws {
        let planning = try Planning(clustersMax: 2, endpointsMax: 3)
        let many = (0..<4).map { YAML.service("s\($0).example", endpoints: ["10.0.\($0).1", "10.0.\($0).2"]) }.joined()
        let plan = try planning.plan(many)
        let without = plan.clusters.values.count { $0 == .none }
        #expect(without == plan.clusters.count - 2)
        #expect(plan.endpoints.values.count { $0 == .none } == plan.endpoints.count - 3)
        #expect(
            planning.planner.problems == [
                "\(without) clusters and \(plan.endpoints.count - 3) endpoints are beyond the 2 and 3 that are counted: limits and "
                    + "outlier detection do not work for them"
            ])
        // Once nobody uses the old rows there is room, and the next plan does not repeat what was wrong with another one.
        for _ in 0..<2 {
            _ = try planning.plan(YAML.service("s0.example", endpoints: ["10.0.0.1"]))
            planning.adopted()
        }
        #expect(planning.planner.problems.isEmpty)
    }
}

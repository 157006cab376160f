import HTTP
import MeshConfig
@testable import MeshRuntime
import Proxy
import Routing
import TelemetryModel
import TelemetryWire
import Testing

@Suite struct ConfigurationCheckTests {
    private let directory = TemporaryDirectory()

    /// `skein validate` gates merges: its counts must be those of what it lists, and its verdict that of a start.
    @Test func findsWhatAStartWouldFind() throws {
        directory.write("a.yaml", YAML.service("a.example") + YAML.workload("a-v1"))
        let good = ConfigurationCheck.run(from: [directory.path], node: nil)
        #expect(good.isValid)
        #expect(good.summary.hasPrefix("2 resources: 0 errors, "))
        directory.write("b.yaml", YAML.broken)
        let bad = ConfigurationCheck.run(from: [directory.path], node: nil)
        #expect(!bad.isValid)
        #expect(bad.errors == bad.diagnostics.count { $0.severity == .error })
        #expect(bad.diagnostics.contains { $0.text.contains("b.yaml") })
    }

    /// What is adopted and does nothing is `skein analyze`'s to say; a configuration in order or with errors has no pointer there.
    @Test func countsWhatAnalysisFindsBesides() {
        func further(_ yaml: String) -> Int {
            directory.write("a.yaml", yaml)
            return ConfigurationCheck.run(from: [directory.path], node: nil).furtherFindings(from: [directory.path])
        }
        let good = YAML.service("a.example") + YAML.workload("a-v1")
        #expect(further(good) == 0)
        let gateway =
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
                + "spec: {hosts: [a.example], gateways: [nowhere], http: [{route: [{destination: {host: a.example}}]}]}\n"
        let rule = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: b}\nspec: {host: b.example}\n"
        #expect(further(good + gateway) == 1)
        #expect(further(good + gateway + rule) == 2)
        #expect(further(good + gateway + YAML.broken) == 0)
    }

    /// Loading is fine, and still a proxy could not start.
    @Test func compilesForEveryWorkload() {
        directory.write("a.yaml", YAML.workload("a-v1") + meshConfig("accessLogFile: /dev/stdout\naccessLogFormat: \"%NOPE%\""))
        let check = ConfigurationCheck.run(from: [directory.path], node: nil)
        #expect(check.errors == 1, "the same finding for each node is one: \(check.diagnostics.map(\.text))")
        #expect(check.summary.contains(": 1 error, "))
        let unknown = ConfigurationCheck.run(from: [directory.path], node: "b-v1")
        #expect(unknown.otherErrors == ["--node b-v1: no WorkloadEntry of that name"])
        #expect(!unknown.isValid)
    }
}

@Suite struct TelemetryPlanTests {
    private func plan(_ yaml: String) throws -> TelemetryPlan {
        TelemetryPlanner.plan(try compile(yaml), capture: HeaderCapture(), keepsRecords: false)
    }

    /// Without a policy requests are counted and nothing else: no line per request appears because of an upgrade.
    @Test func nothingIsLoggedUnlessAskedFor() throws {
        let plan = try plan(YAML.service("a.example"))
        #expect(!plan.outbound.isRecorded && !plan.inbound.isRecorded)
        #expect(plan.contextOption == .useB3)
        #expect(plan.uses128BitTraceIDs)
    }

    /// `skein logs` shows the newest requests whether or not they are logged to a file.
    @Test func recordsAreKeptForThoseWhoAsk() throws {
        let plan = TelemetryPlanner.plan(try compile(YAML.service("a.example")), capture: HeaderCapture(), keepsRecords: true)
        #expect(plan.outbound.isRecorded && plan.inbound.isRecorded)
    }

    @Test func aMeshWideFileLogsBothSides() throws {
        let plan = try plan(meshConfig("accessLogFile: /dev/stdout"))
        #expect(plan.outbound.isRecorded && plan.inbound.isRecorded)
    }

    /// The share of sampled traces is a cost: one percent that becomes all is a flood.
    @Test func samplesAsTheMeshSays() throws {
        let plan = try plan(
            meshConfig("enableTracing: true\ndefaultConfig:\n  tracing:\n    sampling: 50\n    zipkin: {address: \"zipkin.example:9411\"}"))
        #expect(plan.outbound.isTraced)
        #expect(plan.outbound.samplingThreshold == 1 << 31)
    }

    /// Spans of one workload are found by this name in every tool (`service.namespace`, as Istio's).
    @Test func spansCarryIstiosNames() {
        var node = NodeIdentity(name: "reviews-v1", namespace: "shop")
        node.labels = ["app": "reviews", "version": "v1"]
        node.address = "10.0.0.1"
        let identity = TelemetryPlanner.spanIdentity(node)
        #expect(identity.serviceName == "reviews.shop")
        #expect(identity.nodeID == "sidecar~10.0.0.1~reviews-v1.shop~shop.svc.cluster.local")
        #expect(identity.canonicalRevision == "v1")
        #expect(TelemetryPlanner.spanIdentity(NodeIdentity()).serviceName == "skein")
    }
}

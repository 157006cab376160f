import MeshConfig
import TelemetryModel
import Testing

@testable import Routing

/// Which MeshOutlierDetection decides for a cluster, and what it makes of the cluster's outlier detection.
@Suite struct MeshOutlierDetectionTests {
    private static func resource(_ name: String, _ spec: String, namespace: String = "default") -> String {
        Mesh.resource("MeshOutlierDetection", name, namespace: namespace, spec).replacing("networking.istio.io/v1", with: "skein.io/v1")
    }

    private static let base =
        Mesh.service("web.local", [("10.0.0.1", "v1", 0), ("10.0.0.2", "v2", 0)])
        + Mesh.resource(
            "VirtualService", "web",
            "hosts: [web.local]\nhttp:\n- match: [{uri: {prefix: /v1}}]\n  route: [{destination: {host: web.local, subset: v1}}]\n"
                + "- route: [{destination: {host: web.local}}]")

    private static func rule(_ more: String = "") -> String {
        Mesh.resource("DestinationRule", "web", "host: web.local\nsubsets: [{name: v1, labels: {version: v1}}]\n" + more)
    }

    private static func deciding(_ mesh: Mesh, _ cluster: String) -> String? {
        let index = mesh.snapshot.clusterMembers.firstIndex { mesh.snapshot.catalogs.names.value($0.name.rawValue) == cluster }
        return index.flatMap { mesh.snapshot.meshOutlierDetections[$0]?.id.name }
    }

    @Test func withoutOneNothingChanges() {
        let mesh = Mesh(Self.base + Self.rule())
        #expect(mesh.snapshot.meshOutlierDetections.isEmpty)
        #expect(mesh.cluster(named: "outbound|80||web.local")?.outlier.isEnabled == false)
    }

    /// Reporters in other namespaces are to say the same, so the service's own namespace counts, as for a DestinationRule.
    @Test func theMoreParticularDecidesAndTheFirstLoadedOfTwo() {
        let all = Self.resource("all", "host: '*.local'\nlatency: {}")
        let host = Self.resource("host", "host: web.local\nlatency: {}")
        let again = Self.resource("again", "host: web.local\nerrorRate: {}")
        let subset = Self.resource("subset", "host: web.local\nsubset: v1\nlatency: {}")
        let root = Self.resource("root", "host: web.local\nlatency: {}", namespace: "istio-system")
        let other = Self.resource("other", "host: web.local\nlatency: {}", namespace: "elsewhere")
        let whole = "outbound|80||web.local"
        let part = "outbound|80|v1|web.local"
        for (text, expected) in [
            (other, [nil, nil]), (root, ["root", "root"]), (root + all, ["all", "all"]), (all + host + again, ["host", "host"]),
            (host + subset, ["host", "subset"]), (again + host, ["again", "again"]),
        ] {
            let mesh = Mesh(Self.base + Self.rule() + text)
            #expect([Self.deciding(mesh, whole), Self.deciding(mesh, part)] == expected, "\(text)")
        }
    }

    @Test func aHostWithoutOutlierDetectionIsJudgedByTheMeshAlone() throws {
        let own = Self.resource("own", "host: web.local\nerrorRate: {}\nmaxEjectionPercent: 50\ninterval: 1s")
        let outlier = try #require(Mesh(Self.base + Self.rule() + own).cluster(named: "outbound|80||web.local")?.outlier)
        #expect(outlier.isEnabled && outlier.isOfMeshAlone)
        #expect(outlier.maxEjectionPercent == 50 && outlier.intervalNanoseconds == 1_000_000_000 && outlier.baseEjectionNanoseconds == -1)
        for spec in ["mode: OFF\nerrorRate: {}", "minimumReporters: 2"] {
            let mesh = Mesh(Self.base + Self.rule() + Self.resource("own", "host: web.local\n" + spec))
            #expect(mesh.cluster(named: "outbound|80||web.local")?.outlier.isEnabled == false, "\(spec)")
        }
    }

    /// Its bounds hold instead of the DestinationRule's; the DestinationRule's detectors stay.
    @Test func aHostWithOutlierDetectionKeepsItsDetectors() throws {
        let rule = Self.rule("trafficPolicy: {outlierDetection: {consecutive5xxErrors: 7, baseEjectionTime: 45s, maxEjectionPercent: 20}}")
        let own = Self.resource("own", "host: web.local\nmaxEjectionPercent: 60\nminHealthPercent: 30")
        let outlier = try #require(Mesh(Self.base + rule + own).cluster(named: "outbound|80||web.local")?.outlier)
        #expect(outlier.isEnabled && !outlier.isOfMeshAlone && outlier.consecutive5xx == 7)
        #expect(outlier.baseEjectionNanoseconds == 45_000_000_000 && outlier.maxEjectionPercent == 60 && outlier.minHealthPercent == 30)
    }
}

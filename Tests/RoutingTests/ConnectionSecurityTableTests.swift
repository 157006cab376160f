import MeshConfig
import Primitives
import Routing
import Testing

/// All combinations of where a mode is written, against tables that are written here from Istio's documentation.
@Suite struct ConnectionSecurityTableTests {
    // MARK: Inbound

    static let modes = [nil, "UNSET", "DISABLE", "PERMISSIVE", "STRICT"]

    private static func policy(_ name: String, _ namespace: String, _ spec: String) -> String {
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: \(name), namespace: \(namespace)}\n"
            + "spec: {\(spec)}\n---\n"
    }

    /// The narrowest mode that is written and not UNSET; none is PERMISSIVE.
    private static func expected(_ fromNarrowToWide: [String?]) -> InboundSecurity {
        switch fromNarrowToWide.compactMap({ $0 }).first(where: { $0 != "UNSET" }) {
        case "STRICT": .strict
        case "DISABLE": .disabled
        default: .permissive
        }
    }

    /// Scope x mode x port: 625 configurations, each with a second, later policy in every scope that must not count.
    @Test(arguments: [true, false])
    func inbound(hasIdentity: Bool) {
        for mesh in Self.modes {
            for namespace in Self.modes {
                for workload in Self.modes {
                    for port in Self.modes { checkInbound(mesh, namespace, workload, port, hasIdentity: hasIdentity) }
                }
            }
        }
    }

    private func checkInbound(_ mesh: String?, _ namespace: String?, _ workload: String?, _ port: String?, hasIdentity: Bool) {
        let select = "selector: {matchLabels: {app: web}}"
        var yaml = Mesh.service("a.local")
        func add(_ name: String, _ namespace: String, _ mode: String?, later: String) {
            guard let mode else { return }
            yaml += Self.policy(name, namespace, "mtls: {mode: \(mode)}") + Self.policy(name + "2", namespace, "mtls: {mode: \(later)}")
        }
        add("m", "istio-system", mesh, later: "STRICT")
        add("n", "default", namespace, later: "DISABLE")
        if workload != nil || port != nil {
            let own = workload.map { ", mtls: {mode: \($0)}" } ?? ""
            yaml += Self.policy("w", "default", select + own + (port.map { ", portLevelMtls: {8080: {mode: \($0)}}" } ?? ""))
            yaml += Self.policy("w2", "default", select + ", mtls: {mode: DISABLE}, portLevelMtls: {9090: {mode: STRICT}}")
        }
        // None of these is about the workload.
        yaml += Self.policy("x", "elsewhere", "mtls: {mode: STRICT}")
        yaml += Self.policy("y", "default", "selector: {matchLabels: {app: other}}, mtls: {mode: STRICT}")
        yaml += Self.policy("z", "istio-system", select + ", mtls: {mode: STRICT}")
        let compiled = Mesh(yaml, labels: ["app": "web"]) {
            $0.inboundListener = SocketEndpoint(ipv4: 0x7F00_0001, port: 15006)
            $0.hasIdentity = hasIdentity
        }
        let all = Self.expected([workload, namespace, mesh])
        let own = Self.expected([port, workload, namespace, mesh])
        let words = "mesh \(mesh ?? "-") namespace \(namespace ?? "-") workload \(workload ?? "-") port \(port ?? "-")"
        let found = [8080, 9090, 1, 65535].map { unsafe compiled.snapshot.tables.inboundSecurity(port: $0) }
        #expect(found == (hasIdentity ? [own, all, all, all] : [.disabled, .disabled, .disabled, .disabled]), "\(words)")
        // Without an identity STRICT is refused, and nothing else.
        let refused = compiled.errors.filter { $0.code == "SKN0202" }
        #expect(refused.count == (!hasIdentity && [all, own].contains(.strict) ? 1 : 0), "\(words)")
        #expect(refused.allSatisfy { $0.message.contains("--identity DIRECTORY") })
    }

    /// Ports are looked up in a sorted table: every port against a dictionary.
    @Test func manyPorts() {
        let seed = UInt64.random(in: 0..<1 << 32)
        var draw = RandomSource(seed: seed)
        for _ in 0..<20 {
            var ports: [UInt16: String] = [:]
            for _ in 0..<draw.below(40) { ports[UInt16(1 + draw.below(65535))] = ["DISABLE", "STRICT", "PERMISSIVE"][Int(draw.below(3))] }
            if draw.below(2) == 0 { ports[65535] = "STRICT" }
            if draw.below(2) == 0 { ports[1] = "STRICT" }
            let entries = ports.map { "\($0.key): {mode: \($0.value)}" }.joined(separator: ", ")
            let level = ports.isEmpty ? "" : ", portLevelMtls: {\(entries)}"
            let mesh = Mesh(
                Mesh.service("a.local") + Self.policy("w", "default", "selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}" + level),
                labels: ["app": "web"]
            ) { $0.hasIdentity = true }
            let around: [UInt16] = ports.keys.map { $0 &- 1 } + ports.keys.map { $0 &+ 1 }
            let near = Array(ports.keys) + around + [0, 1, 2, 65534, 65535]
            let wrong = near.filter { port in
                unsafe mesh.snapshot.tables.inboundSecurity(port: port) != Self.expected([ports[port], "DISABLE"])
            }
            #expect(wrong.isEmpty, "seed \(seed): \(wrong) of \(ports)")
        }
    }

    @Test func aProxyBesideNoWorkloadTakesPlaintext() {
        let mesh = Mesh(Mesh.service("a.local") + Self.policy("m", "istio-system", "mtls: {mode: STRICT}")) { $0.hasIdentity = true }
        #expect(unsafe mesh.snapshot.tables.inboundSecurity(port: 80) == .disabled && mesh.errors.isEmpty)
    }

    // MARK: Outbound

    /// `tls` of a policy: no policy at all, one that says nothing of TLS, or a mode.
    private enum Written: CaseIterable {
        case nothing, silent, disable, simple, mutual, istioMutual

        var mode: String? {
            switch self {
            case .nothing, .silent: nil
            case .disable: "DISABLE"
            case .simple: "SIMPLE"
            case .mutual: "MUTUAL"
            case .istioMutual: "ISTIO_MUTUAL"
            }
        }

        /// The fields of a policy; nil = it is not there.
        var fields: String? {
            if self == .nothing { return nil }
            let files = self == .mutual ? ", clientCertificate: /c, privateKey: /k" : ""
            return mode.map { "tls: {mode: \($0)\(files)}" } ?? "outlierDetection: {}"
        }
    }

    private struct World {
        var top, topPort, subset, subsetPort: Written
        var isAutomatic, hasIdentity, isExternal: Bool

        private func policy(_ own: Written, _ port: Written) -> String? {
            let entry = port.fields.map { "portLevelSettings: [{port: {number: 80}, \($0)}, {port: {number: 81}, tls: {mode: SIMPLE}}]" }
            let parts = [own.fields, entry].compactMap { $0 }
            return parts.isEmpty ? nil : "{\(parts.joined(separator: ", "))}"
        }

        var yaml: String {
            let label = "security.istio.io/tlsMode"
            let endpoints =
                "- {address: 10.0.0.1, labels: {\(label): istio}}\n- {address: 10.0.0.2, labels: {\(label): disabled}}\n"
                + "- {address: 10.0.0.3}\n- {address: 10.0.0.4, labels: {\(label): istio, takes: nothing}}\n"
            let plain = "selector: {matchLabels: {takes: nothing}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}"
            let rule = [policy(top, topPort).map { "trafficPolicy: \($0)\n" }, "subsets:\n- name: s\n"]
                + [policy(subset, subsetPort).map { "  trafficPolicy: \($0)\n" }]
            return "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: m}\n"
                + "spec: {meshConfig: {enableAutoMtls: \(isAutomatic)}}\n---\n"
                + Mesh.resource(
                    "ServiceEntry", "a",
                    "hosts: [a.local]\nlocation: \(isExternal ? "MESH_EXTERNAL" : "MESH_INTERNAL")\nresolution: STATIC\n"
                        + "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]\nendpoints:\n\(endpoints)")
                + ConnectionSecurityTableTests.policy("plain", "default", plain)
                + Mesh.resource("DestinationRule", "d", "host: a.local\n" + rule.compactMap { $0 }.joined())
                + Mesh.resource("VirtualService", "v", "hosts: [a.local]\nhttp: [{route: [{destination: {host: a.local, subset: s}}]}]")
        }

        /// What each of the four endpoints gets: the settings that are written nearest, where a port's replace all of its policy's; without
        /// any the labels.
        func expected(ofSubset: Bool) -> [String] {
            var nearest = topPort == .nothing ? top.mode : topPort.mode
            if ofSubset {
                if subsetPort != .nothing { nearest = subsetPort.mode } else if let own = subset.mode { nearest = own }
            }
            switch nearest {
            case "DISABLE": return ["plain", "plain", "plain", "plain"]
            case "ISTIO_MUTUAL": return [String](repeating: hasIdentity ? "istioMutual" : "plain", count: 4)
            case "SIMPLE": return ["simple", "simple", "simple", "simple"]
            case "MUTUAL": return ["mutual", "mutual", "mutual", "mutual"]
            default: return [isAutomatic && hasIdentity && !isExternal ? "istioMutual" : "plain", "plain", "plain", "plain"]
            }
        }
    }

    /// Every place of a mode with every mode (900 rules; MUTUAL, which is as SIMPLE, not for single ports), the mesh's side drawn for each.
    /// The labels are those of the endpoints.
    @Test func outbound() {
        let seed = UInt64.random(in: 0..<1 << 32)
        var draw = RandomSource(seed: seed)
        for top in Written.allCases {
            for topPort in Written.allCases where topPort != .mutual {
                for subset in Written.allCases {
                    for subsetPort in Written.allCases where subsetPort != .mutual {
                        let bits = draw.below(8)
                        let world = World(
                            top: top, topPort: topPort, subset: subset, subsetPort: subsetPort, isAutomatic: bits & 1 == 0,
                            hasIdentity: bits & 2 == 0, isExternal: bits & 4 == 0)
                        check(world, "seed \(seed)")
                    }
                }
            }
        }
    }

    /// The mesh's side in full, where no rule speaks.
    @Test func outboundWithoutRule() {
        for bits in 0..<8 {
            let world = World(
                top: .silent, topPort: .nothing, subset: .nothing, subsetPort: .nothing, isAutomatic: bits & 1 == 0,
                hasIdentity: bits & 2 == 0, isExternal: bits & 4 == 0)
            check(world, "")
        }
    }

    private func check(_ world: World, _ words: String) {
        let mesh = Mesh(world.yaml) {
            $0.hasIdentity = world.hasIdentity
            $0.allowsUnenforced = true
        }
        #expect(mesh.errors.isEmpty, "\(words) \(world): \(mesh.errors.map(\.text))")
        for (cluster, isSubset) in [("outbound|80||a.local", false), ("outbound|80|s|a.local", true)] {
            guard mesh.cluster(named: cluster) != nil else {
                // Nothing leads to the cluster of all subsets here.
                #expect(!isSubset, "\(words) \(world)")
                continue
            }
            let found = mesh.securities(cluster).map { $0.map { "\($0.mode)" } ?? "plain" }
            #expect(found == world.expected(ofSubset: isSubset), "\(words) \(cluster) \(world)")
        }
    }
}

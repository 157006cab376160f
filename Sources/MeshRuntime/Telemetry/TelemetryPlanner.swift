internal import Collector
internal import Glibc
internal import MeshConfig
internal import Primitives
internal import Proxy
internal import Routing
internal import TelemetryModel
internal import TelemetryWire

/// Turns resolved telemetry policies into what the workers record and what the collector writes.
enum TelemetryPlanner {
    /// The outputs of one side, and what is wrong with them. A bad format is an error: the old configuration stays.
    static func outputs(_ policy: AccessLogPolicy) -> ([CollectorPlan.Output], [String]) {
        var outputs: [CollectorPlan.Output] = []
        var problems: [String] = []
        for file in policy.files {
            do throws(AccessLogFormatError) {
                outputs.append(CollectorPlan.Output(path: file.path, format: try format(file)))
            } catch {
                problems.append("access log provider \(file.provider): \(error)")
            }
        }
        return (outputs, problems)
    }

    private static func format(_ file: AccessLogPolicy.File) throws(AccessLogFormatError) -> AccessLogFormat {
        try format(file.format, environment: environment)
    }

    private static func format(
        _ format: AccessLogPolicy.File.Format, environment: (String) -> String?
    ) throws(AccessLogFormatError) -> AccessLogFormat {
        let host = hostName
        switch format {
        case .istioText: return try .text(AccessLogFormat.istioText, hostname: host)
        case .text(let text): return try .text(text, hostname: host, environment: environment)
        case .istioJSON: return try .json(AccessLogFormat.istioJSON, hostname: host)
        case .json(let labels): return try .json(labels.map { ($0.key, .init($0.value)) }, hostname: host, environment: environment)
        case .jsonText(let text): return try .json(JSONTemplate.parse(text), hostname: host, environment: environment)
        }
    }

    /// Of the process, for `%ENVIRONMENT(NAME)%`.
    private static func environment(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard unsafe gethostname(&name, name.count - 1) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    static func problems(_ mesh: MeshConfiguration, _ node: NodeIdentity) -> [Diagnostic] {
        var said: [String] = []
        var found: [Diagnostic] = []
        // Providers that nobody uses as well: their turn comes with another Telemetry, and the mistake is here. Each at its own place.
        for provider in mesh.mesh.extensionProviders {
            guard case .envoyFileAccessLog(let log) = provider.configuration else { continue }
            let format: AccessLogFormat
            do throws(AccessLogFormatError) {
                switch log.format {
                case .inherited: continue
                case .text(let text): format = try Self.format(.text(text), environment: { _ in nil })
                case .labels(let labels):
                    if labels.isEmpty { continue }
                    format = try Self.format(.json(labels), environment: { _ in nil })
                }
            } catch {
                said.append("access log provider \(provider.name): \(error)")
                found.append(diagnostic(.error, "SKN0330", provider, mesh, "access log provider \(provider.name): \(error)"))
                continue
            }
            if !format.notInEffect.isEmpty {
                let names = format.notInEffect.map { "%\($0)%" }.joined(separator: ", ")
                found.append(
                    diagnostic(.notice, "SKN0201", provider, mesh, "\(names) accepted, not yet in effect: always printed as missing"))
            }
        }
        var lines: [(code: String, text: String)] = []
        var formats: [AccessLogFormat] = []
        for direction in TrafficDirection.allCases {
            let (outputs, wrong) = outputs(mesh.accessLogPolicy(namespace: node.namespace, labels: node.labels, direction: direction))
            for line in wrong where !said.contains(line) && !lines.contains(where: { $0.text == line }) { lines.append(("SKN0330", line)) }
            formats += outputs.map(\.format)
        }
        var history = CaptureHistory()
        do throws(CollectorPlanError) {
            _ = try history.adopt(formats)
        } catch {
            lines.append(("SKN0331", error.description))
        }
        return found + lines.map { line in
            Diagnostic(
                severity: .error, code: line.code, position: mesh.mesh.position ?? SourcePosition(file: "meshConfig", line: 0, column: 0),
                resource: mesh.mesh.id, field: "", message: line.text)
        }
    }

    private static func diagnostic(
        _ severity: Diagnostic.Severity, _ code: String, _ provider: ExtensionProvider, _ mesh: MeshConfiguration, _ message: String
    ) -> Diagnostic {
        Diagnostic(
            severity: severity, code: code, position: provider.logFormatPosition, resource: mesh.mesh.id,
            field: "spec.meshConfig.extensionProviders[\(provider.name)].envoyFileAccessLog.logFormat", message: message)
    }

    /// What the workers do about telemetry. `keepsRecords`: somebody can ask for the newest requests, whether or not they are logged.
    static func plan(
        _ routing: RoutingSnapshot, capture: HeaderCapture, _ connections: ConnectionTextChoice = .standard, keepsRecords: Bool
    ) -> TelemetryPlan {
        var plan = TelemetryPlan()
        plan.capture = capture
        plan.connections = connections
        plan.outbound = side(routing.accessLog.outbound, routing.tracing.outbound, keepsRecords)
        plan.inbound = side(routing.accessLog.inbound, routing.tracing.inbound, keepsRecords)
        if case .zipkin(let zipkin) = routing.tracing.outbound.exporter ?? routing.tracing.inbound.exporter {
            plan.contextOption = zipkin.traceContext == .b3WithW3C ? .useB3WithW3CPropagation : .useB3
            plan.uses128BitTraceIDs = !zipkin.enable64BitTraceID
        } else if case .openTelemetry = routing.tracing.outbound.exporter ?? routing.tracing.inbound.exporter {
            // OpenTelemetry's SDKs speak W3C.
            plan.contextOption = .useB3WithW3CPropagation
        }
        return plan
    }

    private static func side(_ log: AccessLogPolicy, _ tracing: TracingPolicy, _ keepsRecords: Bool) -> TelemetryPlan.Side {
        var side = TelemetryPlan.Side()
        side.isRecorded = keepsRecords || !log.files.isEmpty
        side.isTraced = !tracing.isReportingDisabled
        side.samplingThreshold = TelemetryPlan.Side.threshold(percent: tracing.samplingPercentage)
        return side
    }

    /// Who the node's spans are from, in Istio's words; beside no workload, in those of whoever started it.
    static func spanIdentity(_ node: NodeIdentity, serviceName: String? = nil) -> ProxySpanIdentity {
        guard !node.name.isEmpty else { return ProxySpanIdentity(serviceName: serviceName ?? "skein", nodeID: "skein") }
        return ProxySpanIdentity(
            serviceName: "\(node.canonicalService).\(node.namespace)",
            nodeID: "sidecar~\(node.address)~\(node.name).\(node.namespace)~\(node.namespace).svc.cluster.local",
            canonicalService: node.canonicalService, canonicalRevision: node.canonicalRevision, meshID: "cluster.local",
            namespace: node.namespace,
            clusterID: "Kubernetes")
    }

    /// A relative path starts from the given directory, if any.
    static func path(_ path: String, in directory: String?) -> String {
        guard let directory, !path.hasPrefix("/") else { return path }
        return directory.hasSuffix("/") ? directory + path : directory + "/" + path
    }
}

extension AccessLogFormat.Value {
    init(_ value: AccessLogValue) {
        switch value {
        case .format(let text): self = .template(text)
        case .constant(let text): self = .constant(text)
        case .object(let members): self = .object(members.map { ($0.key, Self($0.value)) })
        case .list(let items): self = .list(items.map { Self($0) })
        }
    }
}

/// Which half of a request a proxy is looking at.
public enum TrafficDirection: Sendable, CaseIterable {
    /// The caller's side: outbound.
    case client
    /// The called workload's side: inbound.
    case server
}

/// Where a workload's access log goes in one direction. Empty `files` and `otherProviders` = no access log.
public struct AccessLogPolicy: Sendable {
    public struct File: Sendable {
        public enum Format: Sendable {
            /// Istio's default text line (semantics 2.1).
            case istioText
            case text(String)
            /// Istio's 24 keys.
            case istioJSON
            case json([(key: String, value: AccessLogValue)])
            /// `accessLogFormat` with encoding JSON: the object as JSON text.
            case jsonText(String)
        }
        public var provider: String
        public var path: String
        public var format: Format
        public var omitEmptyValues: Bool
    }
    public var files: [File] = []
    /// Providers that are not files, by name.
    public var otherProviders: [String] = []

    public var isEnabled: Bool { !files.isEmpty || !otherProviders.isEmpty }
}

/// Tracing of a workload in one direction.
public struct TracingPolicy: Sendable {
    public enum Exporter: Sendable {
        case zipkin(ExtensionProvider.Zipkin)
        case openTelemetry(ExtensionProvider.OpenTelemetry)
        /// `defaultConfig.tracing.zipkin.address`, `host:port`.
        case zipkinAddress(String)
        /// A provider that is not in effect, by name.
        case other(String)
    }
    /// 0...100, of requests that bring no decision of their own.
    public var samplingPercentage: Double
    /// Set by `disableSpanReporting`, or by `enableTracing: false` where no Telemetry and no provider speaks.
    public var isReportingDisabled: Bool
    /// Name of the provider; empty = none.
    public var provider: String
    /// Where spans go besides the embedded collector; nil = nowhere.
    public var exporter: Exporter?
}

/// Telemetry resources resolved for one workload: mesh (root namespace), then namespace, then workload selector, each
/// level changing what the one before said (semantics 2.1, 2.10). Among several on one level the first loaded counts.
extension MeshConfiguration {
    /// PILOT_TRACE_SAMPLING's default.
    public static let defaultSamplingPercentage = 1.0

    /// From the widest to the narrowest.
    func telemetries(namespace: String, labels: [String: String]) -> [Telemetry] {
        var levels: [Telemetry] = []
        if let mesh = telemetries.first(where: { $0.id.namespace == mesh.rootNamespace && $0.attachment.isWide }) { levels.append(mesh) }
        if namespace != mesh.rootNamespace, let own = telemetries.first(where: { $0.id.namespace == namespace && $0.attachment.isWide }) {
            levels.append(own)
        }
        let own = telemetries.first { telemetry in
            let (attachment, home) = (telemetry.attachment, telemetry.id.namespace)
            return !attachment.isWide && home == namespace
                && attachment.includes(namespace: namespace, labels: labels, home: home, rootNamespace: mesh.rootNamespace)
        }
        if let own { levels.append(own) }
        return levels
    }

    public func accessLogPolicy(namespace: String, labels: [String: String], direction: TrafficDirection) -> AccessLogPolicy {
        let levels = telemetries(namespace: namespace, labels: labels).map(\.accessLogging).filter { !$0.isEmpty }
        let defaults = mesh.defaultAccessLoggingProviders
        if levels.isEmpty, defaults.isEmpty {
            // Istio before Telemetry: `accessLogFile` alone turns the log on.
            return mesh.accessLogFile.isEmpty ? AccessLogPolicy() : policy(providers: ["envoy"])
        }
        guard !levels.isEmpty else { return policy(providers: defaults) }
        return policy(providers: accessLogProviders(levels, defaults, direction))
    }

    /// The narrowest level that names providers decides which count; every level may switch those on or off.
    private func accessLogProviders(
        _ levels: [[Telemetry.AccessLogging]], _ defaults: [String], _ direction: TrafficDirection
    ) -> [String] {
        var inScope = defaults
        for level in levels {
            let named = level.filter { $0.mode.covers(direction) }.flatMap(\.providers)
            if !named.isEmpty { inScope = named }
        }
        var result: [String] = []
        var inherited = defaults
        for entry in levels.joined() {
            let providers = entry.providers.isEmpty ? inherited : entry.providers
            inherited = providers
            guard entry.mode.covers(direction) else { continue }
            for provider in providers where inScope.contains(provider) {
                result.removeAll { $0 == provider }
                if entry.disabled != true { result.append(provider) }
            }
        }
        return result
    }

    private func policy(providers: [String]) -> AccessLogPolicy {
        var result = AccessLogPolicy()
        for name in providers {
            guard case .envoyFileAccessLog(let log)? = mesh.provider(named: name)?.configuration else {
                result.otherProviders.append(name)
                continue
            }
            let isBuiltIn = !mesh.extensionProviders.contains { $0.name == name }
            let path = isBuiltIn && !mesh.accessLogFile.isEmpty ? mesh.accessLogFile : log.path
            result.files.append(
                AccessLogPolicy.File(provider: name, path: path, format: format(log.format), omitEmptyValues: log.omitEmptyValues))
        }
        return result
    }

    private func format(_ format: ExtensionProvider.FileAccessLog.Format) -> AccessLogPolicy.File.Format {
        switch format {
        case .text(let text): return text.isEmpty ? .istioText : .text(text)
        case .labels(let labels): return labels.isEmpty ? .istioJSON : .json(labels)
        case .inherited:
            switch (mesh.accessLogEncoding, mesh.accessLogFormat.isEmpty) {
            case (.text, true): return .istioText
            case (.text, false): return .text(mesh.accessLogFormat)
            case (.json, true): return .istioJSON
            case (.json, false): return .jsonText(mesh.accessLogFormat)
            }
        }
    }

    /// Sampling: Telemetry, else `defaultConfig.tracing.sampling`, else 1 % (semantics 2.10).
    public func tracingPolicy(namespace: String, labels: [String: String], direction: TrafficDirection) -> TracingPolicy {
        let levels = telemetries(namespace: namespace, labels: labels).flatMap(\.tracing).filter { $0.mode.covers(direction) }
        var result = TracingPolicy(
            samplingPercentage: mesh.tracingSampling ?? MeshConfiguration.defaultSamplingPercentage,
            isReportingDisabled: false, provider: mesh.defaultTracingProviders.first ?? "", exporter: nil)
        for level in levels {
            if let provider = level.providers.first { result.provider = provider }
            if let percentage = level.randomSamplingPercentage { result.samplingPercentage = percentage }
            if let disabled = level.disableSpanReporting { result.isReportingDisabled = disabled }
        }
        result.samplingPercentage = min(100, max(0, result.samplingPercentage))
        if !result.provider.isEmpty {
            result.exporter = exporter(named: result.provider)
        } else if !mesh.tracingZipkinAddress.isEmpty, mesh.enableTracing {
            result.exporter = .zipkinAddress(mesh.tracingZipkinAddress)
        }
        if levels.isEmpty, result.provider.isEmpty, !mesh.enableTracing { result.isReportingDisabled = true }
        return result
    }

    private func exporter(named name: String) -> TracingPolicy.Exporter? {
        switch mesh.provider(named: name)?.configuration {
        case .zipkin(let zipkin): .zipkin(zipkin)
        case .openTelemetry(let otlp): .openTelemetry(otlp)
        case .none: nil
        default: .other(name)
        }
    }
}

extension Telemetry.Mode {
    public func covers(_ direction: TrafficDirection) -> Bool { direction == .client ? coversClient : coversServer }
}

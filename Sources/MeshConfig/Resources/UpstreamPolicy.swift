/// What Istio leaves to Envoy's defaults or to EnvoyFilter, for the endpoints of a service (`skein.io` UpstreamPolicy).
public struct UpstreamPolicy: Sendable {
    public enum Probe: Sendable {
        /// Ranges of accepted statuses.
        case http(path: String, host: String, statuses: [ClosedRange<UInt16>])
        case tcp
    }

    /// Active health checks; durations in nanoseconds.
    public struct HealthCheck: Sendable, Equatable {
        public var probe: Probe
        public var intervalNanoseconds: UInt64
        public var timeoutNanoseconds: UInt64
        public var jitterNanoseconds: UInt64
        public var unhealthyThreshold: UInt32
        public var healthyThreshold: UInt32
        /// Nil = the endpoint's own port.
        public var port: UInt16?
    }

    /// Detectors of rates (semantics 2.5); nil = off.
    public struct SuccessRate: Sendable {
        public var enforcing: UInt32
        public var minimumHosts: UInt32
        public var requestVolume: UInt32
        public var stdevFactor: Double
    }

    public struct FailurePercentage: Sendable {
        public var enforcing: UInt32
        public var threshold: UInt32
        public var minimumHosts: UInt32
        public var requestVolume: UInt32
    }

    public var id: ResourceID
    public var position: SourcePosition
    /// As written; short names mean the resource's namespace.
    public var host: String
    /// Empty = all of them.
    public var subset: String
    public var isPeakEWMA: Bool
    public var healthCheck: HealthCheck?
    public var successRate: SuccessRate?
    public var failurePercentage: FailurePercentage?
    public var maxEjectionTimeNanoseconds: UInt64?
    public var maxEjectionTimeJitterNanoseconds: UInt64
}

extension UpstreamPolicy.Probe: Equatable {}

extension UpstreamPolicy {
    init(id: ResourceID, position: SourcePosition, spec: NodeReader) {
        let outlier = spec.child("outlierDetection")
        self.init(
            id: id, position: position, host: spec.string("host") ?? "", subset: spec.string("subset") ?? "",
            isPeakEWMA: spec.name("loadBalancer") == "PEAK_EWMA", healthCheck: spec.child("healthCheck").map(HealthCheck.init(reader:)),
            successRate: outlier?.child("successRate").map {
                SuccessRate(
                    enforcing: $0.uint32("enforcing") ?? 100, minimumHosts: $0.uint32("minimumHosts") ?? 5,
                    requestVolume: $0.uint32("requestVolume") ?? 100, stdevFactor: $0.double("stdevFactor") ?? 1.9)
            },
            failurePercentage: outlier?.child("failurePercentage").map {
                FailurePercentage(
                    enforcing: $0.uint32("enforcing") ?? 100, threshold: $0.uint32("threshold") ?? 85,
                    minimumHosts: $0.uint32("minimumHosts") ?? 5, requestVolume: $0.uint32("requestVolume") ?? 50)
            },
            maxEjectionTimeNanoseconds: outlier?.nanoseconds("maxEjectionTime").map { UInt64(max(0, $0)) },
            maxEjectionTimeJitterNanoseconds: UInt64(max(0, outlier?.nanoseconds("maxEjectionTimeJitter") ?? 0)))
    }
}

extension UpstreamPolicy.HealthCheck {
    init(reader: NodeReader) {
        func time(_ name: String, _ fallback: UInt64) -> UInt64 { reader.nanoseconds(name).map { UInt64(max(0, $0)) } ?? fallback }
        let interval = time("interval", 10_000_000_000)
        let probe: UpstreamPolicy.Probe
        if let http = reader.child("http") {
            let statuses = http.strings("expectedStatuses").compactMap(Self.statuses)
            probe = .http(
                path: http.string("path") ?? "/", host: http.string("host") ?? "", statuses: statuses.isEmpty ? [200...200] : statuses)
        } else {
            probe = .tcp
        }
        self.init(
            probe: probe, intervalNanoseconds: interval, timeoutNanoseconds: time("timeout", 1_000_000_000),
            jitterNanoseconds: time("intervalJitter", interval / 10), unhealthyThreshold: max(1, reader.uint32("unhealthyThreshold") ?? 3),
            healthyThreshold: max(1, reader.uint32("healthyThreshold") ?? 2), port: reader.port("port"))
    }

    /// `200` or `200-299`.
    static func statuses(_ text: String) -> ClosedRange<UInt16>? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil, (100...599).contains(first),
            (first...599).contains(last)
        else { return nil }
        return first...last
    }
}

/// How the whole mesh judges the endpoints of a host (`skein.io` MeshOutlierDetection, docs/outliers.md).
public struct MeshOutlierDetection: Sendable {
    public enum Mode: String, Sendable {
        case enforce = "ENFORCE"
        /// What is found is shown; nobody is ejected mesh-wide.
        case reportOnly = "REPORT_ONLY"
        /// Not judged mesh-wide. Nothing else of the resource acts.
        case off = "OFF"
    }

    /// Failures of all attempts in the last windows.
    public struct ErrorRate: Sendable, Equatable {
        /// Percent, inclusive, 1...100.
        public var threshold: UInt32
        /// Attempts in these windows, of all reporters.
        public var minimumVolume: UInt32
        /// 1...`windowsMax`.
        public var windows: UInt32

        public static let windowsMax: UInt32 = 10
    }

    /// The 95th percentile of an endpoint against the median of its peers'.
    public struct Latency: Sendable, Equatable {
        /// Above 1, at most `factorMax`.
        public var factor: Double
        /// Below it no endpoint is slow.
        public var minimumNanoseconds: Int64
        /// Requests in one window, of the endpoint and of each peer that is compared.
        public var minimumVolume: UInt32
        /// At least 1.
        public var minimumPeers: UInt32
        /// In a row in which it is slow, 1...`windowsMax`.
        public var windows: UInt32

        public static let factorMax = 1000.0
        public static let windowsMax: UInt32 = 10
    }

    public var id: ResourceID
    public var position: SourcePosition
    /// As written; short names mean the resource's namespace.
    public var host: String
    /// Empty = all of them.
    public var subset: String
    public var mode: Mode
    /// Nil = the detector is off.
    public var errorRate: ErrorRate?
    public var latency: Latency?
    /// Reporters with a say without which nobody is ejected; those of one identity count as one. At least 1.
    public var minimumReporters: UInt32
    /// These hold instead of a DestinationRule's (semantics 2.5), for local ejections too; nil = the DestinationRule's.
    public var intervalNanoseconds: Int64?
    public var baseEjectionTimeNanoseconds: Int64?
    public var maxEjectionPercent: UInt32?
    public var minHealthPercent: UInt32?
}

extension MeshOutlierDetection {
    init(id: ResourceID, position: SourcePosition, spec: NodeReader) {
        self.init(
            id: id, position: position, host: spec.string("host") ?? "", subset: spec.string("subset") ?? "",
            mode: spec.name("mode").flatMap(Mode.init(rawValue:)) ?? .enforce,
            errorRate: spec.child("errorRate").map(ErrorRate.init(reader:)), latency: spec.child("latency").map(Latency.init(reader:)),
            minimumReporters: max(1, spec.uint32("minimumReporters") ?? 1), intervalNanoseconds: spec.nanoseconds("interval"),
            baseEjectionTimeNanoseconds: spec.nanoseconds("baseEjectionTime"), maxEjectionPercent: spec.uint32("maxEjectionPercent"),
            minHealthPercent: spec.uint32("minHealthPercent"))
    }
}

extension MeshOutlierDetection.ErrorRate {
    init(reader: NodeReader) {
        self.init(
            threshold: reader.uint32("threshold") ?? 50, minimumVolume: reader.uint32("minimumVolume") ?? 50,
            windows: reader.uint32("windows") ?? 3)
    }
}

extension MeshOutlierDetection.Latency {
    init(reader: NodeReader) {
        self.init(
            factor: reader.double("factor") ?? 3, minimumNanoseconds: reader.nanoseconds("minimum") ?? 25_000_000,
            minimumVolume: reader.uint32("minimumVolume") ?? 50, minimumPeers: reader.uint32("minimumPeers") ?? 3,
            windows: reader.uint32("windows") ?? 2)
    }
}

extension MeshOutlierDetection {
    /// Mode, detectors and thresholds in a line.
    public var summary: String {
        guard mode != .off else { return mode.rawValue }
        var parts = [mode.rawValue]
        if let rate = errorRate {
            parts.append("error rate from \(rate.threshold) % of \(rate.minimumVolume) attempts in \(rate.windows) windows")
        }
        if let slow = latency {
            parts.append(
                "latency from \(slow.factor) x the median of \(slow.minimumPeers) peers and \(slow.minimumNanoseconds / 1_000_000) ms, "
                    + "\(slow.windows) windows in a row")
        }
        if minimumReporters > 1 { parts.append("\(minimumReporters) reporters at least") }
        return parts.joined(separator: ", ")
    }
}

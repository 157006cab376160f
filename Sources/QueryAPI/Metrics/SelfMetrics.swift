internal import Synchronization
public import TelemetryWire

/// Where components say how to read their own metrics. Registered at start by the composition root; read at each scrape on the pool.
///
/// Providers may be called from several threads at once and must not block for long. Several may contribute to one family: its
/// samples are joined under the help and kind given first.
public final class SelfMetrics: Sendable {
    public typealias Provider = @Sendable () -> [MetricSamples]

    /// Samples of one family that are exposed; a label gone wild is cut here and counted.
    public static let samplesMax = 2048

    private let providers = Mutex<[Provider]>([])

    public init() {}

    public func register(_ provider: @escaping Provider) { providers.withLock { $0.append(provider) } }

    /// Families in name order. What no parser would take (bad names, repeated label sets, too many samples) is left out and counted in
    /// `skein_metric_samples_rejected`.
    public func collect() -> [MetricSamples] {
        let current = providers.withLock { $0 }
        var families: [String: MetricSamples] = [:]
        var known = Set<[UInt8]>()
        var rejected = 0
        for provider in current {
            for offered in provider() {
                let name = offered.family.name
                guard Self.isValidName(name), offered.family.kind != .histogram,
                    offered.family.kind != .counter || name.hasSuffix("_total")
                else {
                    rejected += max(1, offered.samples.count)
                    continue
                }
                var family = families[name] ?? MetricSamples(name: name, help: offered.family.help, kind: offered.family.kind, samples: [])
                for sample in offered.samples {
                    guard family.samples.count < Self.samplesMax, family.family.kind == offered.family.kind,
                        sample.labels.allSatisfy({ Self.isValidName($0.name) && !$0.name.contains(":") }),
                        known.insert(Array(name.utf8) + [0] + Self.labelText(sample.labels.sorted { $0.name < $1.name })).inserted
                    else {
                        rejected += 1
                        continue
                    }
                    family.samples.append(sample)
                }
                families[name] = family
            }
        }
        // OpenMetrics names a counter's family without `_total`: it must not meet a gauge of that name.
        for name in families.keys where name.hasSuffix("_total") {
            if let gauge = families.removeValue(forKey: String(name.dropLast("_total".utf8.count))) { rejected += gauge.samples.count }
        }
        let own = MetricSamples(
            name: "skein_metric_samples_rejected",
            help: "Own samples left out of this exposition because their name or labels are not valid.",
            kind: .gauge, value: Double(rejected))
        families[own.family.name] = own
        return families.keys.sorted().compactMap { families[$0] }.filter { !$0.samples.isEmpty }
    }

    static func labelText(_ labels: [(name: String, value: String)]) -> [UInt8] {
        var text: [UInt8] = []
        for label in labels { ExpositionWriter.appendLabel(label.name, label.value, to: &text) }
        return text
    }

    private static func isValidName(_ name: String) -> Bool {
        guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first),
            name.utf8.count <= 128
        else { return false }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "_"), UInt8(ascii: ":"):
                true
            default: false
            }
        }
    }
}

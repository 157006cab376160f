internal import QueryAPI
internal import Synchronization
internal import TelemetryModel
internal import TelemetryStore
internal import TelemetryWire

/// Says of each metric, once, that it has as many series as it may, and which label of whom makes it so; and counts what had no place.
/// Any thread.
final class CardinalityWatch: Sendable {
    /// Metrics that the log is told of by name, and that have series of their own in `/metrics`; both in the order in which they began to
    /// overflow.
    static let toldMax = 20
    static let namedMax = 20

    private let stored: StoredSeries
    private let pool: QueryPool
    private let say: @Sendable (String) -> Void
    private let told = Mutex(0)

    init(_ stored: StoredSeries, _ pool: QueryPool, say: @escaping @Sendable (String) -> Void) {
        self.stored = stored
        self.pool = pool
        self.say = say
    }

    /// Now and then. Cheap where nothing overflows; the report of what does is made on the pool.
    func look() {
        guard let store = try? stored.store() else { return }
        let start = told.withLock { $0 }
        guard start <= Self.toldMax else { return }
        let new = store.overflowingFamilies(from: start)
        guard !new.isEmpty else { return }
        let isAccepted = pool.submit { [self] in
            for metric in new.prefix(Self.toldMax - start) { say(Self.sentence(store.cardinalityReport(of: metric))) }
            if start + new.count > Self.toldMax {
                say("more than \(Self.toldMax) metrics have as many series as they may; skein top --by family shows them")
            }
        }
        // A pool that is full has the next look tell it.
        if isAccepted { told.withLock { $0 = start + new.count } }
    }

    /// What is going on, who is guilty and what to do.
    static func sentence(_ family: SeriesFamily) -> String {
        func name(_ text: String) -> String { JSONText.quote(String(text.unicodeScalars.prefix(128))) }
        var text = "metric \(name(family.metric)) has \(family.series) series, all that it may have: what is new is summed up in one with "
            + "skein_overflow=\"true\", without its labels."
        let labels = family.labels.filter { $0.name != "job" && $0.name != "instance" }
        if let label = labels.first { text += " The label \(name(label.name)) has \(label.values) values." }
        if let sender = family.senders.first(where: { !$0.job.isEmpty || !$0.instance.isEmpty }) {
            text += " Most series come from job \(name(sender.job)), instance \(name(sender.instance))."
        }
        return text + " Leave the label out where the metric is made; skein top --by family shows all."
    }

    /// For `/metrics`. Labels are bounded by `namedMax` names of metrics; all others are counted under an empty one.
    func samples() -> [MetricSamples] {
        guard let store = try? stored.store() else { return [] }
        let (named, others) = store.overflowReport(limit: Self.namedMax)
        guard !named.isEmpty else { return [] }
        let all = named.map { ($0.metric, $0.count) } + (others == SeriesOverflow() ? [] : [("", others)])
        func counter(_ name: String, _ help: String, _ value: (SeriesOverflow) -> UInt64) -> MetricSamples {
            MetricSamples(name: name, help: help, kind: .counter, label: "metric", values: all.map { ($0.0, Double(value($0.1))) })
        }
        return [
            counter(
                "skein_series_overflowed_total",
                "Series that had no place because their metric has as many as it may; one that comes back counts again.") { $0.series },
            counter(
                "skein_series_family_samples_overflowed_total", "Samples summed up in the overflow series of their metric.") { $0.samples },
            counter(
                "skein_series_family_samples_refused_total",
                "Samples that the overflow series of their metric could not take: native histograms, or of too many series."
            ) { $0.refused },
        ]
    }
}

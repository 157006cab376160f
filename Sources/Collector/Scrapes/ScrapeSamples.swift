public import TelemetryModel

/// What Prometheus says of each scrape besides what the page has (prometheus.io/docs/concepts/jobs_instances).
public enum ScrapeSamples {
    private static let names = [
        "up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added",
    ]

    /// `target` are the labels of the target, `time` the scrape's in milliseconds since 1970.
    public static func append(
        _ target: [LabelSet.Label], at time: Int64, isUp: Bool, seconds: Double, samples: Int, added: Int, to batch: inout SeriesBatch
    ) {
        let values = [isUp ? 1 : 0, seconds, Double(samples), Double(samples), Double(added)]
        for (name, value) in zip(names, values) {
            let identity = batch.append(LabelSet(target + [LabelSet.Label(LabelSet.metricName, name)]), .gauge)
            batch.append(identity, time: time, value: value)
        }
    }

    /// The target is not scraped any more.
    static func end(_ target: [LabelSet.Label], at time: Int64, in batch: inout SeriesBatch) {
        for name in names {
            let identity = batch.append(LabelSet(target + [LabelSet.Label(LabelSet.metricName, name)]), .gauge)
            batch.appendStale(identity, time: time)
        }
    }
}

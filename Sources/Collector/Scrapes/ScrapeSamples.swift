public import TelemetryModel

/// What Prometheus says of each scrape besides what the page has (prometheus.io/docs/concepts/jobs_instances).
public enum ScrapeSamples {
    /// `target` are the labels of the target, `time` the scrape's in milliseconds since 1970.
    public static func append(
        _ target: [LabelSet.Label], at time: Int64, isUp: Bool, seconds: Double, samples: Int, added: Int, to batch: inout SeriesBatch
    ) {
        let values: [(name: String, value: Double)] = [
            ("up", isUp ? 1 : 0), ("scrape_duration_seconds", seconds), ("scrape_samples_scraped", Double(samples)),
            ("scrape_samples_post_metric_relabeling", Double(samples)), ("scrape_series_added", Double(added)),
        ]
        for one in values {
            let identity = batch.append(LabelSet(target + [LabelSet.Label(LabelSet.metricName, one.name)]), .gauge)
            batch.append(identity, time: time, value: one.value)
        }
    }
}

internal import TelemetryModel

/// The labels of rows, but for the metric's name.
struct SpanMetricsLabels {
    private let names: SpanMetricsNames
    private let texts: InternedTexts

    /// The label of the store's own series for what is above a bound, with another value: it is another series.
    private static let overflow = LabelSet.Label("skein_overflow", "span_metrics")

    init(_ names: SpanMetricsNames, _ texts: InternedTexts) {
        self.names = names
        self.texts = texts
    }

    func seriesLabels(_ key: OperationKey) -> [LabelSet.Label] {
        let shared = [
            LabelSet.Label("span_kind", SpanMetricsNames.kindLabel(key.kind)),
            LabelSet.Label("status_code", SpanMetricsNames.statusLabel(key.status)),
        ]
        if key.isOverflow { return shared + [Self.overflow] }
        return shared + [
            LabelSet.Label(names.service, texts.string(key.service)), LabelSet.Label("span_name", texts.string(key.operation)),
        ]
    }

    func seriesLabels(_ key: EdgeKey) -> [LabelSet.Label] {
        let connection = LabelSet.Label("connection_type", SpanMetricsNames.connectionLabel(key.connection))
        if key.isOverflow { return [connection, Self.overflow] }
        return [connection, LabelSet.Label("client", texts.string(key.client)), LabelSet.Label("server", texts.string(key.server))]
    }
}

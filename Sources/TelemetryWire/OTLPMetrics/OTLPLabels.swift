import TelemetryModel

/// Attributes of OTLP on their way to labels.
struct OTLPLabels {
    private(set) var values: [String: String] = [:]

    var isEmpty: Bool { values.isEmpty }

    /// Two attributes whose names become one are joined by `;` (OpenTelemetry specification, "Metric Attributes").
    mutating func add(attribute name: String, _ value: String) {
        let label = PrometheusNaming.label(name)
        if let present = values[label] { values[label] = present + ";" + value } else { values[label] = value }
    }

    mutating func set(_ label: String, _ value: String) { values[label] = value }

    func labels(_ metric: String, adding more: [(name: String, value: String)] = []) -> LabelSet {
        var all = values
        for one in more { all[one.name] = one.value }
        all[LabelSet.metricName] = metric
        return LabelSet(all.map { LabelSet.Label($0.key, $0.value) })
    }
}

/// What OTLP says of a resource, in Prometheus' terms: `job` and `instance` name the target, the rest is in `target_info`.
struct OTLPResource {
    private(set) var identity = OTLPLabels()
    private(set) var info = OTLPLabels()

    init() {}

    init(attributes: [(name: String, value: String)]) {
        var service = ""
        var namespace = ""
        for (name, value) in attributes {
            switch name {
            case "service.name": service = value
            case "service.namespace": namespace = value
            case "service.instance.id": identity.set("instance", value)
            default: info.add(attribute: name, value)
            }
        }
        if !service.isEmpty { identity.set("job", namespace.isEmpty ? service : namespace + "/" + service) }
    }

    /// The series that joins a target's other attributes to its metrics; nil when there is nothing to join, or nothing to join it to.
    func targetInfo(at time: Int64) -> MetricPoint? {
        guard !identity.isEmpty, !info.isEmpty else { return nil }
        let labels = info.labels("target_info", adding: identity.values.map { ($0.key, $0.value) })
        return MetricPoint(labels: labels, kind: .gauge, time: time, value: .number(1))
    }
}

/// One metric family of this process at one moment: what components count, and an exposition writes.
public struct MetricSamples: Sendable {
    public struct Sample: Sendable {
        public var labels: [(name: String, value: String)]
        public var value: Double

        public init(labels: [(name: String, value: String)] = [], value: Double) {
            self.labels = labels
            self.value = value
        }
    }

    public var family: MetricFamily
    public var samples: [Sample]

    public init(name: String, help: String, kind: MetricKind, samples: [Sample]) {
        self.init(MetricFamily(name: name, help: help, kind: kind), samples: samples)
    }

    public init(_ family: MetricFamily, samples: [Sample]) {
        self.family = family
        self.samples = samples
    }

    /// A family of a single sample without labels.
    public init(name: String, help: String, kind: MetricKind, value: Double) {
        self.init(name: name, help: help, kind: kind, samples: [Sample(value: value)])
    }

    /// A family with one label.
    public init(name: String, help: String, kind: MetricKind, label: String, values: [(value: String, number: Double)]) {
        self.init(name: name, help: help, kind: kind, samples: values.map { Sample(labels: [(label, $0.value)], value: $0.number) })
    }
}

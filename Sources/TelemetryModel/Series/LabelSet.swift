/// The labels that name a series, the metric's own name among them as `__name__`; sorted by name, each name once, no value empty: an empty
/// value is the same as no label (prometheus.io/docs/concepts/data_model).
///
/// A value. Names and values are UTF-8, of any characters (Prometheus 3).
public struct LabelSet: Hashable, Sendable {
    public struct Label: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// The label that holds the metric's name.
    public static let metricName = "__name__"

    /// Ascending by the bytes of their names.
    public private(set) var labels: [Label]

    public init() { labels = [] }

    /// Sorts; of labels with the same name the last one counts, and labels with empty values are left out.
    public init(_ labels: some Sequence<Label>) {
        self.labels = []
        for label in labels { self[label.name] = label.value }
    }

    /// The metric and its other labels, as `http_requests_total{code="200"}` names them.
    public init(_ metric: String, _ labels: KeyValuePairs<String, String> = [:]) {
        self.init(labels.map { Label($0.key, $0.value) } + [Label(Self.metricName, metric)])
    }

    /// For labels that are known to be sorted, each name once and no value empty; asserted.
    public init(sorted labels: [Label]) {
        assert(zip(labels, labels.dropFirst()).allSatisfy { $0.name < $1.name } && labels.allSatisfy { !$0.value.isEmpty })
        self.labels = labels
    }

    public var isEmpty: Bool { labels.isEmpty }
    public var count: Int { labels.count }

    /// Nil without such a label. Setting nil or an empty value removes it.
    public subscript(name: String) -> String? {
        get {
            let index = position(of: name)
            return index < labels.count && labels[index].name == name ? labels[index].value : nil
        }
        set {
            let index = position(of: name)
            let exists = index < labels.count && labels[index].name == name
            switch (newValue ?? "", exists) {
            case ("", true): labels.remove(at: index)
            case ("", false): break
            case (let value, true): labels[index].value = value
            case (let value, false): labels.insert(Label(name, value), at: index)
            }
        }
    }

    /// Only the labels whose names are accepted.
    public func filtered(_ isKept: (String) -> Bool) -> LabelSet { LabelSet(sorted: labels.filter { isKept($0.name) }) }

    /// Where a label of this name is, or would be.
    private func position(of name: String) -> Int {
        var low = 0
        var high = labels.count
        while low < high {
            let middle = (low + high) / 2
            if labels[middle].name < name { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

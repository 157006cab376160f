import TelemetryModel

/// Names and tag values for the query forms, from the segments' tables and the head's.
struct NameIndex {
    private let view: TraceView

    /// Bound of each of these answers.
    static let namesMax = 10_000

    init(_ view: TraceView) { self.view = view }

    /// Names of local services, sorted; nil when a segment is gone, as below.
    func services() throws(StoreError) -> [String]? { try picked { local, _, _ in local } }

    /// Names of the spans of a service, sorted.
    func spanNames(service: String) throws(StoreError) -> [String]? { try picked { local, name, _ in local == service ? name : "" } }

    /// Names of the services that a service talks to, sorted.
    func remoteServices(service: String) throws(StoreError) -> [String]? {
        try picked { local, _, remote in local == service ? remote : "" }
    }

    /// What `pick` picks of each combination of local service, span name and remote service, sorted; nil when a segment is gone.
    private func picked(_ pick: (_ local: String, _ name: String, _ remote: String) -> String) throws(StoreError) -> [String]? {
        var found: Set<String> = []
        func add(_ shapes: [SpanShape], _ strings: StringList) {
            for shape in shapes where found.count < Self.namesMax {
                let name = pick(
                    strings.string(
                        Int(shape.localService) - 1), strings.string(Int(shape.name) - 1), strings.string(Int(shape.remoteService) - 1))
                if !name.isEmpty { found.insert(name) }
            }
        }
        for row in view.snapshot.head { add(row.batch.shapes, row.batch.strings) }
        for segment in view.snapshot.segments {
            switch try view.header(segment) {
            case .gone: return nil
            case .damaged: continue
            case .found(let header):
                add(header.shapes, header.strings)
                for names in header.plainNames where found.count < Self.namesMax {
                    let name = pick(names[0], names[1], names[2])
                    if !name.isEmpty { found.insert(name) }
                }
            }
        }
        return found.sorted()
    }

    /// Values of a tag that segments keep for autocompletion, sorted; nil when a segment is gone.
    func tagValues(ofKey key: String) throws(StoreError) -> [String]? {
        var found: Set<String> = []
        for row in view.snapshot.head {
            var spans = SpanBatch()
            for index in 0..<row.batch.spanCount {
                spans.removeAll()
                row.batch.decode(index, into: &spans)
                for tag in spans.tags where spans.string(tag.key) == key && found.count < Self.namesMax {
                    found.insert(spans.string(tag.value))
                }
            }
        }
        for segment in view.snapshot.segments {
            switch try view.header(segment) {
            case .gone: return nil
            case .damaged: continue
            case .found(let header):
                if found.count < Self.namesMax { found.formUnion(header.autocomplete[key] ?? []) }
            }
        }
        return found.sorted()
    }
}

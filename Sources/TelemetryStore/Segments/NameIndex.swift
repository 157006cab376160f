import TelemetryModel

/// Names and tag values for the query forms, from the segments' tables and the head's.
extension TraceStore {
    /// Bound of each of these answers.
    static let namesMax = 10_000

    /// Names of local services, sorted.
    public func services() throws(StoreError) -> [String] { try names { local, _, _ in local } }

    /// Names of the spans of a service, sorted.
    public func spanNames(service: String) throws(StoreError) -> [String] {
        try names { local, name, _ in local == service ? name : "" }
    }

    /// Names of the services that a service talks to, sorted.
    public func remoteServices(service: String) throws(StoreError) -> [String] {
        try names { local, _, remote in local == service ? remote : "" }
    }

    private func names(_ pick: (_ local: String, _ name: String, _ remote: String) -> String) throws(StoreError) -> [String] {
        try consistently { snapshot, reader throws(StoreError) in
            var found: Set<String> = []
            func add(_ shapes: [SpanShape], _ strings: StringList) {
                for shape in shapes where found.count < TraceStore.namesMax {
                    let name = pick(
                        strings.string(Int(shape.localService) - 1), strings.string(Int(shape.name) - 1), strings.string(Int(shape.remoteService) - 1))
                    if !name.isEmpty { found.insert(name) }
                }
            }
            for row in snapshot.head { add(row.batch.shapes, row.batch.strings) }
            for segment in snapshot.segments {
                switch try self.header(segment, reader) {
                case .gone: return nil
                case .damaged: continue
                case .found(let header):
                    add(header.shapes, header.strings)
                    for names in header.plainNames where found.count < TraceStore.namesMax {
                        let name = pick(names[0], names[1], names[2])
                        if !name.isEmpty { found.insert(name) }
                    }
                }
            }
            return found.sorted()
        }
    }

    /// Values of a tag, sorted; empty unless `key` is one of `autocompleteKeys`.
    public func autocompleteValues(_ key: String) throws(StoreError) -> [String] {
        guard configuration.autocompleteKeys.contains(key) else { return [] }
        return try consistently { snapshot, reader throws(StoreError) in
            var found: Set<String> = []
            for row in snapshot.head {
                var spans = SpanBatch()
                for index in 0..<row.batch.spanCount {
                    spans.removeAll()
                    row.batch.decode(index, into: &spans)
                    for tag in spans.tags where spans.string(tag.key) == key && found.count < TraceStore.namesMax {
                        found.insert(spans.string(tag.value))
                    }
                }
            }
            for segment in snapshot.segments {
                switch try self.header(segment, reader) {
                case .gone: return nil
                case .damaged: continue
                case .found(let header):
                    if found.count < TraceStore.namesMax { found.formUnion(header.autocomplete[key] ?? []) }
                }
            }
            return found.sorted()
        }
    }
}

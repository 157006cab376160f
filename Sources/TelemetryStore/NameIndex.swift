import TelemetryModel

/// Names, links and tag values for the query forms, from the segments' tables and the head's.
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

    /// Calls between services in traces that began within `lookback` milliseconds before `endTimestamp` (milliseconds).
    ///
    /// Segments are linked when they are written and summed by minute, so the range is rounded to minutes; the head is linked
    /// now. Spans that arrive after the rest of their trace was compacted are linked among themselves.
    public func dependencies(endTimestamp: UInt64, lookback: UInt64) throws(StoreError) -> [DependencyLink] {
        var window = TraceQuery(endTimestamp: endTimestamp)
        window.lookback = lookback
        let range = window.timestampRange
        return try consistently { snapshot, reader throws(StoreError) in
            var sums: [[String]: (calls: UInt64, errors: UInt64)] = [:]
            func add(_ parent: String, _ child: String, _ calls: UInt64, _ errors: UInt64) {
                let key = [parent, child]
                guard sums.count < TraceStore.namesMax || sums[key] != nil else { return }
                var sum = sums[key] ?? (0, 0)
                sum.calls &+= calls
                sum.errors &+= errors
                sums[key] = sum
            }
            let bucketWidth = SegmentLimits.linkBucketMicroseconds
            for segment in snapshot.segments where segment.timestampMax >= range.lowerBound && segment.timestampMin <= range.upperBound {
                switch try self.header(segment, reader) {
                case .gone: return nil
                case .damaged: continue
                case .found(let header):
                    for link in header.links
                    where link.bucket >= range.lowerBound / bucketWidth && link.bucket <= range.upperBound / bucketWidth {
                        add(header.strings.string(link.parent), header.strings.string(link.child), link.calls, link.errors)
                    }
                }
            }
            linkHead(snapshot, range, add)
            return sums.map { DependencyLink(parent: $0[0], child: $0[1], callCount: $1.calls, errorCount: $1.errors) }
                .sorted { ($0.parent, $0.child) < ($1.parent, $1.child) }
        }
    }

    private func linkHead(_ snapshot: StoreSnapshot, _ range: ClosedRange<UInt64>, _ add: (String, String, UInt64, UInt64) -> Void) {
        var traces: [TraceID: (timestamp: UInt64, nodes: [DependencyLinker.Node])] = [:]
        var services: [String] = [""]
        var numbers: [String: Int] = ["": 0]
        func number(_ name: String) -> Int {
            if let known = numbers[name] { return known }
            numbers[name] = services.count
            services.append(name)
            return services.count - 1
        }
        for row in snapshot.head {
            let batch = row.batch
            let errorKey = batch.strings.find(Array("error".utf8)).map { UInt32($0) + PayloadKey.firstString }
            let shapes = batch.shapes.map { shape in
                (
                    local: number(batch.strings.string(Int(shape.localService) - 1)),
                    remote: number(batch.strings.string(Int(shape.remoteService) - 1)),
                    hasError: shape.payloads.contains { $0.key == errorKey }
                )
            }
            unsafe batch.bytes.withUnsafeBytes { all in
                for index in 0..<batch.spanCount {
                    var reader = unsafe ByteReader(all, at: batch.spansStart + Int(batch.spanStarts[index]))
                    let span = JournalSpan(&reader, previousTrace: batch.traceIDs[index], baseTimestamp: batch.baseTimestamp)
                    guard span.shape < shapes.count else { continue }
                    let shape = shapes[span.shape]
                    var trace = traces[span.traceID] ?? (0, [])
                    if span.timestamp != 0, trace.timestamp == 0 || span.timestamp < trace.timestamp { trace.timestamp = span.timestamp }
                    trace.nodes.append(DependencyLinker.Node(
                        id: span.id, parentID: span.parent, kind: batch.shapes[span.shape].kind,
                        isShared: batch.shapes[span.shape].flags & SpanFlags.shared.rawValue != 0, hasError: shape.hasError,
                        localService: shape.local, remoteService: shape.remote))
                    traces[span.traceID] = trace
                }
            }
        }
        var linker = DependencyLinker()
        for (_, trace) in traces where range.contains(trace.timestamp) {
            linker.link(trace.nodes) { parent, child, isError in add(services[parent], services[child], 1, isError ? 1 : 0) }
        }
    }
}

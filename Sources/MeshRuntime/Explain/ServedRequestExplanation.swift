internal import Collector
internal import Primitives
internal import QueryAPI
internal import TelemetryModel
internal import TelemetryWire

/// What became of a request that was served, attempt by attempt: from its record while that is in memory, else from its spans.
struct ServedRequestExplanation {
    /// Records of one request (or spans of one trace) that are shown.
    static let recordsMax = 20
    /// How far back spans are looked for, milliseconds.
    static let lookbackMilliseconds: UInt64 = 30 * 86_400_000

    let tail: LogTail
    let store: (any TraceQuerying)?

    /// Blocks on the store.
    func find(requestID: String?, traceID: TraceID?) -> RequestExplanation {
        var result = RequestExplanation()
        var filter = LogFilter()
        filter.requestID = requestID
        filter.traceID = traceID
        result.nodes = tail.recentRecords(filter: filter, limit: Self.recordsMax) { view, names in Self.node(view, names) }
        if result.nodes.isEmpty { result.nodes = stored(requestID, traceID) }
        result.isRouted = !result.nodes.isEmpty
        if !result.isRouted {
            result.errors = [
                "nothing is known of that request: a request leaves a record where access logging is on or it is sampled; records are "
                    + "kept in memory for a while, spans in the store"
            ]
        }
        return result
    }

    // MARK: From the record

    private static func node(_ view: borrowing RequestRecordView, _ names: borrowing NameTable) -> RequestExplanation.Node {
        let record = view.record
        func text(_ slot: RequestText) -> String {
            guard let bytes = view.text(slot) else { return "" }
            return unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
        }
        func name(_ id: NameID) -> String { String(decoding: names[id], as: UTF8.self) }
        let line =
            "\(text(.method)) \(text(.authority))\(text(.path)) -> \(record.responseCode) in "
                + "\(milliseconds(record.times.downstreamSendEnd))"
        var facts: [RequestExplanation.Node] = []
        func add(_ key: String, _ value: String) { if !value.isEmpty { facts.append(RequestExplanation.Node(key, value)) } }
        add("from", "\(record.downstreamRemote)")
        add("path as sent", text(.originalPath))
        add("rule", name(record.route))
        add("cluster", name(record.cluster))
        for index in 0..<Int(record.earlierAttempts) {
            let attempt = view.attempt(index)
            var outcome = attempt.ending == .response ? "status \(attempt.status)" : attempt.ending.text
            if attempt.grpcStatus != 255 { outcome += ", grpc-status \(attempt.grpcStatus)" }
            add(
                "attempt \(index + 1)",
                "\(attempt.endpoint) from \(milliseconds(attempt.begin)) to \(milliseconds(attempt.end)): \(outcome); tried again")
        }
        if record.upstreamRemote.family != .absent {
            var steps: [String] = []
            func step(_ what: String, _ time: UInt64) {
                if time != RequestTimes.absent { steps.append("\(what) at \(milliseconds(time))") }
            }
            step("connecting", record.times.upstreamConnectBegin)
            step("connected", record.times.upstreamConnectEnd)
            step("sending", record.times.upstreamSendBegin)
            step("first byte", record.times.upstreamReceiveBegin)
            step("last byte", record.times.upstreamReceiveEnd)
            add(
                "attempt \(Int(record.earlierAttempts) + 1)",
                "\(record.upstreamRemote)" + (steps.isEmpty ? "" : ": " + steps.joined(separator: ", ")))
        }
        if record.grpcStatus != 255 { add("grpc-status", "\(record.grpcStatus)") }
        var flags = ""
        for (flag, short, long) in ResponseFlags.names where record.flags.contains(flag) {
            flags += (flags.isEmpty ? "" : ", ") + "\(short) (\(long))"
        }
        add("flags", flags)
        let rule = record.policy == .none ? "none" : name(record.policy)
        let reason = record.details.brackets.map { String(UnicodeScalar($0.open)) + rule + String(UnicodeScalar($0.close)) }
        add("details", (record.details.text ?? "") + (reason ?? ""))
        add("request id", text(.requestID))
        if !record.traceID.isNone { add("trace", Self.text(record.traceID) + (record.isSampled ? "" : " (not sampled)")) }
        return RequestExplanation.Node(record.side == .outbound ? "outbound" : "inbound", line, facts)
    }

    private static func text(_ id: TraceID) -> String {
        var digits: [UInt8] = []
        HexCodec.append(id, to: &digits)
        return String(decoding: digits, as: UTF8.self)
    }

    private static func milliseconds(_ nanoseconds: UInt64) -> String {
        guard nanoseconds != RequestTimes.absent else { return "-" }
        let microseconds = String(nanoseconds / 1000 % 1000)
        return "\(nanoseconds / 1_000_000).\(String(repeating: "0", count: 3 - microseconds.count))\(microseconds) ms"
    }

    // MARK: From the store

    private func stored(_ requestID: String?, _ traceID: TraceID?) -> [RequestExplanation.Node] {
        guard let store else { return [] }
        var batches: [SpanBatch] = []
        if let traceID {
            if let batch = try? store.trace(traceID) { batches = [batch] }
        } else if let requestID {
            var query = TraceQuery(endTimestamp: SystemClock.unixNanoseconds() / 1_000_000 + 1000)
            query.lookback = Self.lookbackMilliseconds
            query.terms = [.tag(key: "guid:x-request-id", value: requestID)]
            batches = (try? store.search(query)) ?? []
        }
        return batches.flatMap { batch in
            batch.spans.sorted { $0.timestamp < $1.timestamp }.compactMap { span in Self.node(span, batch, requestID) }
        }.prefix(Self.recordsMax).map { $0 }
    }

    /// Nil for spans that no proxy made, or of another request of the trace.
    private static func node(_ span: SpanRow, _ batch: SpanBatch, _ requestID: String?) -> RequestExplanation.Node? {
        var tags: [(key: String, value: String)] = []
        for index in Int(span.tagStart)..<Int(span.tagStart) + Int(span.tagCount) {
            tags.append((batch.string(batch.tags[index].key), batch.string(batch.tags[index].value)))
        }
        func tag(_ key: String) -> String { tags.first { $0.key == key }?.value ?? "" }
        guard tag("component") == "proxy", requestID == nil || tag("guid:x-request-id") == requestID else { return nil }
        let line = "\(tag("http.method")) \(tag("http.url")) -> \(tag("http.status_code")) in \(milliseconds(span.duration &* 1000))"
        var facts: [RequestExplanation.Node] = []
        for (key, shown) in [
            ("upstream_cluster", "cluster"), ("peer.address", "from"), ("response_flags", "flags"), ("guid:x-request-id", "request id"),
        ] {
            let value = tag(key)
            if !value.isEmpty, value != "-" { facts.append(RequestExplanation.Node(shown, value)) }
        }
        for (key, value) in tags where key.hasPrefix("attempt.") {
            facts.append(RequestExplanation.Node("attempt \(key.dropFirst(8))", value + "; tried again"))
        }
        facts.append(RequestExplanation.Node("trace", text(span.traceID)))
        return RequestExplanation.Node(span.kind == .server ? "inbound (stored span)" : "outbound (stored span)", line, facts)
    }
}

internal import Primitives
public import TelemetryModel

/// Who this proxy is, for the spans it makes; empty texts leave their tag out.
public struct ProxySpanIdentity: Sendable {
    /// Zipkin service name, Istio's `app.namespace` or canonical service.
    public var serviceName: String
    /// Envoy's node id (`sidecar~10.1.2.3~pod.ns~ns.svc.cluster.local`).
    public var nodeID: String
    public var canonicalService: String
    public var canonicalRevision: String
    public var meshID: String
    public var namespace: String
    public var clusterID: String

    public init(
        serviceName: String, nodeID: String = "", canonicalService: String = "", canonicalRevision: String = "", meshID: String = "",
        namespace: String = "", clusterID: String = ""
    ) {
        self.serviceName = serviceName
        self.nodeID = nodeID
        self.canonicalService = canonicalService
        self.canonicalRevision = canonicalRevision
        self.meshID = meshID
        self.namespace = namespace
        self.clusterID = clusterID
    }
}

/// Appends the span of one request to a batch, with the tags that Envoy's Zipkin tracer writes under Istio (semantics 2.10).
///
/// The outbound proxy's span is CLIENT, the inbound's SERVER; ids are not shared. The text arena must have room: the batch is
/// emptied by its owner long before 4 GiB. Confined to its owner, who calls it for each sampled record.
public struct ProxySpanBuilder: Sendable {
    /// What it wants to know of secured connections.
    public static let connections = ConnectionTextChoice(downstream: connectionTexts, upstream: connectionTexts)
    private static let connectionTexts: ConnectionTextSet = [
        ConnectionTextSet(.peerURIs), ConnectionTextSet(.localURIs), ConnectionTextSet(.version),
    ]

    private let serviceName: [UInt8]
    /// Tags that are the same in every span, in the order written.
    private let constants: [(key: String, value: String)]

    public init(identity: ProxySpanIdentity) {
        serviceName = Array(identity.serviceName.lowercased().utf8)
        constants = [
            ("component", "proxy"), ("node_id", identity.nodeID), ("istio.canonical_service", identity.canonicalService),
            ("istio.canonical_revision", identity.canonicalRevision), ("istio.mesh_id", identity.meshID),
            ("istio.namespace", identity.namespace), ("istio.cluster_id", identity.clusterID),
        ].filter { !$0.1.isEmpty }
    }

    /// Appends one span row for `view`; false when the record has no trace or span id.
    ///
    /// `operation` is the route's decorator as Istio sets it (`reviews.default.svc.cluster.local:9080/*`); without one the authority is
    /// the name, as in Envoy. `names` resolves the cluster.
    @discardableResult
    public func append(
        _ view: borrowing RequestRecordView, names: borrowing NameTable, operation: [UInt8] = [], to batch: inout SpanBatch
    ) -> Bool {
        let record = view.record
        guard !record.traceID.isNone, !record.spanID.isNone else { return false }
        var row = SpanRow(traceID: record.traceID, id: record.spanID)
        row.parentID = record.parentSpanID
        row.kind = record.side == .outbound ? .client : .server
        if record.isDebug { row.flags.insert(.debug) }
        row.timestamp = record.startUnixNanoseconds / 1000
        if record.times.downstreamSendEnd != RequestTimes.absent { row.duration = max(record.times.downstreamSendEnd / 1000, 1) }
        if !operation.isEmpty {
            row.name = store(operation, &batch)
        } else if let authority = view.text(.authority) {
            row.name = store(authority, &batch)
        }
        for index in Int(row.name.offset)..<Int(row.name.offset) + Int(row.name.count) where batch.text[index] &- 0x41 < 26 {
            batch.text[index] |= 0x20
        }
        row.localEndpoint = endpoint(record.side == .outbound ? record.upstreamLocal : record.downstreamLocal, isLocal: true, &batch)
        row.remoteEndpoint = endpoint(record.side == .outbound ? record.upstreamRemote : record.downstreamRemote, isLocal: false, &batch)
        row.tagStart = UInt32(truncatingIfNeeded: batch.tags.count)
        appendTags(view, names, &batch)
        row.tagCount = UInt32(truncatingIfNeeded: batch.tags.count) &- row.tagStart
        row.annotationStart = UInt32(truncatingIfNeeded: batch.annotations.count)
        batch.spans.append(row)
        return true
    }

    private func appendTags(_ view: borrowing RequestRecordView, _ names: borrowing NameTable, _ batch: inout SpanBatch) {
        let record = view.record
        for (key, value) in constants { tag(key, &batch) { $0.append(contentsOf: value.utf8) } }
        text("http.method", view.text(.method), &batch)
        tag("http.url", &batch) { bytes in
            if let scheme = view.text(.scheme) { appendText(scheme, &bytes) } else { bytes.append(ascii: "http") }
            bytes.append(ascii: "://")
            if let authority = view.text(.authority) { appendText(authority, &bytes) }
            if let path = view.text(.originalPath) {
                appendText(path, &bytes)
            } else if let path = view.text(.path) {
                appendText(path, &bytes)
            }
        }
        tag("http.protocol", &batch) { bytes in
            switch record.protocolVersion {
            case .http10: bytes.append(ascii: "HTTP/1.0")
            case .http11: bytes.append(ascii: "HTTP/1.1")
            case .http2: bytes.append(ascii: "HTTP/2")
            case .tcp: bytes.append(ascii: "TCP")
            }
        }
        tag("http.status_code", &batch) { $0.append(decimal: UInt64(record.responseCode)) }
        tag("request_size", &batch) { $0.append(decimal: record.requestBodyBytes) }
        tag("response_size", &batch) { $0.append(decimal: record.responseBodyBytes) }
        tag("response_flags", &batch) { bytes in
            if record.flags.isEmpty {
                bytes.append(UInt8(ascii: "-"))
            } else {
                bytes.append(atMost: LineWriter.flagsBytesMax(isLong: false)) { $0.flags(record.flags, isLong: false) }
            }
        }
        let cluster = names[record.cluster]
        if !cluster.isEmpty {
            tag("upstream_cluster", &batch) { $0.append(contentsOf: cluster) }
            tag("upstream_cluster.name", &batch) { $0.append(contentsOf: cluster) }
        }
        tag("downstream_cluster", &batch) { $0.append(UInt8(ascii: "-")) }
        text("user_agent", view.text(.userAgent), &batch)
        text("guid:x-request-id", view.text(.requestID), &batch)
        if record.downstreamRemote.family != .absent {
            tag("peer.address", &batch) { AddressText.append(record.downstreamRemote, withPort: false, to: &$0) }
        }
        if record.upstreamRemote.family == .unix {
            tag("upstream_address", &batch) { AddressText.append(record.upstreamRemote, withPort: false, to: &$0) }
        }
        appendShadow(record.shadow, names, &batch)
        appendSecurity(view, record.side == .outbound ? .upstream : .downstream, &batch)
        for index in 0..<Int(record.earlierAttempts) { append(view.attempt(index), number: index + 1, &batch) }
        // Envoy marks server errors, and requests that never got an answer.
        if record.responseCode >= 500 || record.responseCode == 0 { tag("error", &batch) { $0.append(ascii: "true") } }
    }

    /// What policies said that decide nothing, under the names that Istio gives those that are tried out (Istio: "Dry Run").
    private func appendShadow(_ shadow: AuthorizationShadow, _ names: borrowing NameTable, _ batch: inout SpanBatch) {
        for (kind, result, rule) in [("deny", shadow.deny, shadow.denyRule), ("allow", shadow.allow, shadow.allowRule)] {
            guard let word = result.text else { continue }
            if rule != .none { tag("istio.authorization.dry_run.\(kind)_policy.name", &batch) { $0.append(contentsOf: names[rule]) } }
            tag("istio.authorization.dry_run.\(kind)_policy.result", &batch) { $0.append(ascii: word) }
        }
        guard shadow.auditRule != .none else { return }
        tag("istio.authorization.audit_policy.name", &batch) { $0.append(contentsOf: names[shadow.auditRule]) }
    }

    /// Who the two workloads have shown themselves to be, under the names that the metrics have, and TLS' version as OpenTelemetry names
    /// it; Envoy's tracer has no tags for either. Of the hop between the two proxies: outbound the upstream connection, inbound the
    /// client's.
    private func appendSecurity(_ view: borrowing RequestRecordView, _ end: ConnectionEnd, _ batch: inout SpanBatch) {
        guard let version = view.text(.version, of: end) else { return }
        let isOutbound = end == .upstream
        text("source_principal", view.text(isOutbound ? .localURIs : .peerURIs, of: end), &batch)
        text("destination_principal", view.text(isOutbound ? .peerURIs : .localURIs, of: end), &batch)
        // `TLSv1.3` is version 1.3.
        text("tls.protocol.version", version.extracting(min(4, version.byteCount)..<version.byteCount), &batch)
    }

    /// `attempt.1: 10.0.0.1:80 503 after 3.250 ms` for a try that was followed by another.
    private func append(_ attempt: AttemptRecord, number: Int, _ batch: inout SpanBatch) {
        tag("attempt.\(number)", &batch) { bytes in
            AddressText.append(attempt.endpoint, withPort: true, to: &bytes)
            bytes.append(UInt8(ascii: " "))
            bytes.append(contentsOf: (attempt.ending == .response ? String(attempt.status) : attempt.ending.text).utf8)
            let microseconds = (attempt.end &- min(attempt.begin, attempt.end)) / 1000
            bytes.append(contentsOf: " after \(microseconds / 1000).".utf8)
            let rest = String(microseconds % 1000)
            bytes.append(contentsOf: (String(repeating: "0", count: 3 - rest.count) + rest + " ms").utf8)
        }
    }

    @inline(__always)
    private func tag(_ key: String, _ batch: inout SpanBatch, _ value: (inout [UInt8]) -> Void) {
        let keyReference = batch.append(text: key)
        let offset = batch.text.count
        value(&batch.text)
        let count = UInt32(truncatingIfNeeded: batch.text.count - offset)
        batch.tags.append(TagRow(key: keyReference, value: TextRef(offset: UInt32(truncatingIfNeeded: offset), count: count)))
    }

    private func text(_ key: String, _ value: RawSpan?, _ batch: inout SpanBatch) {
        guard let value else { return }
        let keyReference = batch.append(text: key)
        batch.tags.append(TagRow(key: keyReference, value: store(value, &batch)))
    }

    /// Headers are any bytes, spans are UTF-8: what is not becomes U+FFFD.
    private func appendText(_ text: RawSpan, _ bytes: inout [UInt8]) {
        unsafe text.withUnsafeBytes { buffer in
            if unsafe UTF8Text.isValid(buffer) {
                unsafe bytes.append(contentsOf: buffer)
            } else {
                unsafe bytes.append(contentsOf: String(decoding: buffer, as: UTF8.self).utf8)
            }
        }
    }

    private func store(_ text: RawSpan, _ batch: inout SpanBatch) -> TextRef {
        let offset = batch.text.count
        appendText(text, &batch.text)
        return TextRef(offset: UInt32(truncatingIfNeeded: offset), count: UInt32(truncatingIfNeeded: batch.text.count - offset))
    }

    private func store(_ text: [UInt8], _ batch: inout SpanBatch) -> TextRef {
        let offset = batch.text.count
        batch.text.append(contentsOf: text)
        return TextRef(offset: UInt32(truncatingIfNeeded: offset), count: UInt32(truncatingIfNeeded: text.count))
    }

    private func endpoint(_ address: SocketEndpoint, isLocal: Bool, _ batch: inout SpanBatch) -> UInt32 {
        var row = EndpointRow()
        if isLocal, !serviceName.isEmpty { row.serviceName = store(serviceName, &batch) }
        switch address.family {
        // Zipkin's endpoints have no paths; a tag tells it.
        case .absent, .unix: if row.serviceName.isEmpty { return EndpointRow.absent }
        case .ipv4:
            row.ipv4 = UInt32(truncatingIfNeeded: address.low)
            row.hasIPv4 = true
            row.port = address.port
        case .ipv6:
            row.ipv6High = address.high
            row.ipv6Low = address.low
            row.hasIPv6 = true
            row.port = address.port
        }
        batch.endpoints.append(row)
        return UInt32(truncatingIfNeeded: batch.endpoints.count - 1)
    }
}

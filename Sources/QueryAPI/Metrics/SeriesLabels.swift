internal import TelemetryModel
internal import TelemetryWire

/// Label text of RED series, made once for each and kept (semantics 2.2).
///
/// Two keys may print alike (an identity whose workload is literally `unknown`, say); scrapers refuse a page that has a series twice, so
/// each key resolves to the first key with its text, and their counts are summed.
struct SeriesLabels {
    /// Text kept, bytes; beyond it everything is forgotten and made again as needed.
    static let bytesMax = 16 << 20
    /// Longest label value, bytes; names come from configuration and are cut here.
    static let valueBytesMax = 1024

    private let catalogs: Catalogs
    private var texts: [SeriesKey: [UInt8]] = [:]
    private var representatives: [[UInt8]: SeriesKey] = [:]
    private var aliases: [SeriesKey: SeriesKey] = [:]
    private var bytes = 0

    init(catalogs: Catalogs) { self.catalogs = catalogs }

    /// The key under which a series is counted and printed. Call for every series of a scrape before `text`.
    mutating func representative(_ key: SeriesKey) -> SeriesKey {
        if texts[key] != nil { return key }
        if let known = aliases[key] { return known }
        let text = Self.makeText(key, catalogs)
        bytes += text.count
        if let first = representatives[text] {
            aliases[key] = first
            return first
        }
        representatives[text] = key
        texts[key] = text
        return key
    }

    /// The label text of a representative.
    func text(_ key: SeriesKey) -> [UInt8] { texts[key] ?? Self.makeText(key, catalogs) }

    /// At the beginning of a scrape only: within one, two keys with one text must keep one representative.
    mutating func trim() { if bytes > Self.bytesMax { forget() } }

    private mutating func forget() {
        texts.removeAll()
        representatives.removeAll()
        aliases.removeAll()
        bytes = 0
    }

    static func makeText(_ key: SeriesKey, _ catalogs: Catalogs) -> [UInt8] {
        identityText(key.labels, key.side, catalogs)
            + requestText(key, securityPolicy(key.labels, key.side, catalogs), key.labels == .overflow)
    }

    /// TCP series have no code, and their protocol is `tcp`.
    func tcpText(_ series: TCPSeries) -> [UInt8] {
        var rest: [UInt8] = [UInt8(ascii: ",")]
        let isOverflow = series.labels == .overflow
        var list: [UInt8] = []
        ExpositionWriter.appendLabel("request_protocol", isOverflow ? "overflow" : "tcp", to: &list)
        ExpositionWriter.appendLabel("response_flags", isOverflow ? "overflow" : Self.flags(series.flags), to: &list)
        let policy = Self.securityPolicy(series.labels, series.side, catalogs)
        ExpositionWriter.appendLabel("connection_security_policy", isOverflow ? "overflow" : policy, to: &list)
        rest += list
        return Self.identityText(series.labels, series.side, catalogs) + rest
    }

    /// Reporter and both ends, names in semantics 2.2's order.
    private static func identityText(_ labels: LabelPair, _ side: ProxySide, _ catalogs: Catalogs) -> [UInt8] {
        let isOverflow = labels == .overflow
        let source = isOverflow ? SourceLabels() : catalogs.sources.labels(labels.source)
        let destination = isOverflow ? DestinationLabels() : catalogs.labels(labels.destination)
        var text: [UInt8] = []
        text.reserveCapacity(1024)
        ExpositionWriter.appendLabel("reporter", side == .outbound ? "source" : "destination", to: &text)
        func label(_ name: String, _ value: String) {
            let shown = isOverflow ? "overflow" : (value.isEmpty ? "unknown" : value)
            ExpositionWriter.appendLabel(
                name, shown.utf8.count > valueBytesMax ? String(shown.unicodeScalars.prefix(valueBytesMax / 4)) : shown, to: &text)
        }
        label("source_workload", source.workload)
        label("source_workload_namespace", source.workloadNamespace)
        // Whoever is spoken to with mutual TLS has seen our certificate.
        let own = side == .outbound && !isOverflow && !destination.principal.isEmpty ? catalogs.sources.ownPrincipal : ""
        label("source_principal", side == .outbound ? own : source.principal)
        label("source_app", source.app)
        label("source_version", source.version)
        label("source_cluster", source.cluster)
        label("source_canonical_service", source.canonicalService)
        label("source_canonical_revision", source.canonicalRevision)
        label("destination_workload", destination.workload)
        label("destination_workload_namespace", destination.workloadNamespace)
        // Where nobody was verified, nobody has seen our certificate either.
        let isSeen = side == .outbound || !source.principal.isEmpty
        label("destination_principal", isSeen ? destination.principal : "")
        label("destination_app", destination.app)
        label("destination_version", destination.version)
        label("destination_service", destination.service)
        label("destination_service_name", destination.serviceName)
        label("destination_service_namespace", destination.serviceNamespace)
        label("destination_cluster", destination.cluster)
        label("destination_canonical_service", destination.canonicalService)
        label("destination_canonical_revision", destination.canonicalRevision)
        return text
    }

    /// Known only where the connection ends (semantics 2.2): a client that was verified came by mutual TLS.
    private static func securityPolicy(_ labels: LabelPair, _ side: ProxySide, _ catalogs: Catalogs) -> String {
        if side == .outbound { return "unknown" }
        return labels != .overflow && !catalogs.sources.labels(labels.source).principal.isEmpty ? "mutual_tls" : "none"
    }

    /// The labels that the request decided.
    private static func requestText(_ key: SeriesKey, _ policy: String, _ isOverflow: Bool) -> [UInt8] {
        var text: [UInt8] = [UInt8(ascii: ",")]
        var labels: [(name: String, value: String)] = [
            ("request_protocol", key.isGRPC ? "grpc" : "http"), ("response_code", "\(key.responseCode)"),
            ("response_flags", flags(key.flags)), ("connection_security_policy", policy),
        ]
        if key.isGRPC && !isOverflow { labels.insert(("grpc_response_status", key.grpcStatus == 255 ? "" : "\(key.grpcStatus)"), at: 2) }
        var list: [UInt8] = []
        for label in labels { ExpositionWriter.appendLabel(label.name, isOverflow ? "overflow" : label.value, to: &list) }
        text += list
        return text
    }

    static func flags(_ flags: ResponseFlags) -> String {
        flags.isEmpty ? "-" : ResponseFlags.names.filter { flags.contains($0.flag) }.map(\.short).joined(separator: ",")
    }
}

internal import TelemetryModel
internal import TelemetryWire

/// What `skein tap` shows of a record besides Istio's keys: who sent the request, whom it was for, how it can be found again. A value; the
/// catalogue's locks are taken for each line, which only those who follow cause.
struct TapLine {
    private let catalogs: Catalogs

    init(_ catalogs: Catalogs) { self.catalogs = catalogs }

    /// `line` ends in the record's JSON line.
    func extend(_ line: inout [UInt8], _ record: borrowing RequestRecord) {
        let source = catalogs.sources.labels(record.labels.source)
        let destination = catalogs.labels(record.labels.destination)
        var trace: [UInt8] = []
        if !record.traceID.isNone { HexCodec.append(record.traceID, to: &trace) }
        let took = record.times.downstreamSendEnd
        JSONLine.extend(
            &line,
            texts: [
                ("side", record.side == .inbound ? "inbound" : "outbound"),
                ("source_workload", source.workload), ("source_namespace", source.workloadNamespace),
                ("destination_workload", destination.workload), ("destination_namespace", destination.workloadNamespace),
                ("destination_service", destination.service), ("trace_id", String(decoding: trace, as: UTF8.self)),
            ],
            numbers: [
                ("attempts", UInt64(record.attemptCount)), ("duration_us", took == RequestTimes.absent ? 0 : took / 1000),
            ])
    }

    /// A line in place of those that this follower lost, because more matched at once than it is sent.
    static func appendDropped(_ count: UInt64, to lines: inout [UInt8]) { lines.append(contentsOf: Array("{\"dropped\":\(count)}\n".utf8)) }
}

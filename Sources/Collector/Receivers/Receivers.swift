public import HTTPService
public import TelemetryModel
public import TelemetryWire

/// The endpoints that take telemetry from others: Zipkin's JSON of both versions, its protobuf, OTLP over HTTP and over gRPC,
/// Prometheus' remote write.
///
/// A body is decoded on the server's thread, straight from the connection's buffer, and answered when the sink has stored it. May be
/// used by several servers at once. A protocol is a receiver of its own; a signal is an `OTLPService` here, which is all that OTLP needs to
/// know of it.
public final class Receivers: Sendable {
    private let spans: SignalIntake<SpanBatch>
    private let metrics: SignalIntake<SeriesBatch>?
    /// By path, without a slash at its end.
    private let routes: [String: any HTTPReceiver]
    private let grpc: OTLPGRPCReceiver
    /// Who reports metrics here.
    public let reporters = Reporters()

    /// `metrics`: where metrics go; nil = they are not taken. `translation`: what OTLP's become. `outliers`: who judges what proxies saw of
    /// endpoints; nil = nobody. `say` gets a sentence when a proxy reports again that was silent, on a server's thread.
    public init(
        sink: any BatchSink<SpanBatch>, metrics metricSink: (any BatchSink<SeriesBatch>)? = nil,
        translation: OTLPTranslation = OTLPTranslation(), outliers: OutlierService? = nil, statistics: CollectorStatistics,
        limits: ReceiverLimits = ReceiverLimits(), say: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        let unpacker = BodyUnpacker(limits)
        spans = SignalIntake(sink: sink, unpacker: unpacker, limits: limits)
        metrics = metricSink.map { SignalIntake(sink: $0, unpacker: unpacker, limits: limits) }
        // One line for each signal: its OTLP service over both transports.
        var services: [any OTLPService] = [OTLPSignalService(OTLPTraces(), spans, statistics)]
        if let metrics {
            let signal = OTLPMetrics(translation: translation, totals: DeltaTotals(statistics))
            services.append(OTLPSignalService(signal, metrics, statistics))
        }

        var routes: [String: any HTTPReceiver] = [:]
        for service in services { routes[service.path] = OTLPHTTPReceiver(service, bytesMax: limits.bodyBytesMax) }
        let zipkin = ReceiverCounters("zipkin", signal: .spans, statistics)
        for prefix in ["", "/zipkin"] {
            routes[prefix + "/api/v2/spans"] = ZipkinReceiver(.v2, spans, zipkin, bytesMax: limits.bodyBytesMax)
            routes[prefix + "/api/v1/spans"] = ZipkinReceiver(.v1, spans, zipkin, bytesMax: limits.bodyBytesMax)
        }
        if let metrics {
            let remoteWrite = RemoteWriteReceiver(metrics, statistics, bytesMax: limits.bodyBytesMax)
            for prefix in ["", "/prometheus"] { routes[prefix + "/api/v1/write"] = remoteWrite }
            routes[ReportReceiver.path] = ReportReceiver(
                metrics, outliers: outliers, reporters, statistics, bytesMax: limits.bodyBytesMax, say: say)
        }
        self.routes = routes
        grpc = OTLPGRPCReceiver(services, limits)
    }

    /// Where received spans go besides the sink; empty at first.
    public func forward(to exporters: [Exporter<SpanBatch>]) { spans.forward(to: exporters) }

    /// What to do with the body of a gRPC call; nil for any other request.
    public func open(_ request: borrowing ServiceRequest) -> ServiceOpening? { grpc.open(request) }

    /// Answers a request to one of the receivers' paths; nil for any other path. A slash behind a path changes nothing.
    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        routes[request.path.hasSuffix("/") ? String(request.path.dropLast()) : request.path]?.handle(request, responder)
    }
}

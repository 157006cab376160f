internal import HTTPService
internal import QueryAPI

/// Jaeger's and Tempo's query APIs over the stored traces: each below a path of its own on the query port, and on a port of its own where
/// one is opened. Both own `/api/traces/{id}`, with different answers, so neither can be at the root of the query port.
struct TraceFaces {
    static let jaegerPath = "/jaeger"
    static let tempoPath = "/tempo"

    private let jaeger: JaegerAPI
    private let tempo: TempoAPI
    private let ports: ServicePorts
    /// What is read is not read under a strange name.
    private let hostGate: EndpointRouter.Part

    init(_ store: any TraceQuerying, _ pool: QueryPool, _ options: RuntimeOptions, _ ports: ServicePorts, version: String) {
        let lookback = options.queryLookbackMilliseconds
        jaeger = JaegerAPI(store: store, pool: pool, lookbackDefault: lookback)
        tempo = TempoAPI(store: store, pool: pool, version: version, lookbackDefault: lookback)
        self.ports = ports
        hostGate = ports.hostGate()
    }

    /// Whether a request came to a port that is Jaeger's or Tempo's alone.
    func owns(_ request: borrowing ServiceRequest) -> Bool {
        switch ports.port(at: request.listener, of: ServicePorts.collector) {
        case .jaeger, .tempo: true
        default: false
        }
    }

    /// Whether a request is for one of them.
    private func concerns(_ request: borrowing ServiceRequest) -> Bool {
        owns(request) || Self.path(request.path, below: Self.jaegerPath) != nil || Self.path(request.path, below: Self.tempoPath) != nil
    }

    /// The part of the collector's router; nil for what is of neither.
    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard concerns(request) else { return nil }
        if let refusal = hostGate(request, responder) { return refusal }
        switch ports.port(at: request.listener, of: ServicePorts.collector) {
        case .jaeger: return jaeger.handle(request, path: request.path[...], responder)
        case .tempo: return tempo.handle(request, path: request.path[...], responder)
        default: break
        }
        if let path = Self.path(request.path, below: Self.jaegerPath) { return jaeger.handle(request, path: path, responder) }
        if let path = Self.path(request.path, below: Self.tempoPath) { return tempo.handle(request, path: path, responder) }
        return nil
    }

    private static func path(_ path: String, below prefix: String) -> Substring? {
        guard path.hasPrefix(prefix + "/") || path == prefix else { return nil }
        return path.dropFirst(prefix.count)
    }
}

internal import EventLoops
internal import HTTPService
internal import Primitives
internal import QueryAPI

/// The ports of this process' own endpoints: which are open, how they are secured, what can be done with them. A value.
struct ServicePorts {
    let options: RuntimeOptions
    /// Nil = all speak plaintext.
    let tls: TLSSettingsSource?

    static let collector: [ServicePort] = [.zipkin, .otlp, .otlpGRPC, .jaeger, .tempo]
    static let admin: [ServicePort] = [.admin, .readiness, .metrics]

    func isSecure(_ port: ServicePort) -> Bool { tls != nil && options.serviceTLS.ports.contains(port) }

    /// The port that the listener of this number is, of the open ones of `ports`.
    func port(at listener: Int, of ports: [ServicePort]) -> ServicePort? {
        var left = listener
        for port in ports where number(port) != 0 {
            if left == 0 { return port }
            left -= 1
        }
        return nil
    }

    /// Opens those of `ports` that are not switched off; nil = all are.
    func open(
        _ name: String, _ ports: [ServicePort], _ handler: any ServiceHandler, say: @escaping @Sendable (String) -> Void
    ) throws -> ServiceServer? {
        let open = ports.filter { number($0) != 0 }
        let listeners = open.compactMap { port in
            options.endpoint(number(port)).map { ServiceListener($0, tls: isSecure(port) ? tls : nil) }
        }
        if listeners.count < open.count {
            throw StartError(
                status: SkeinProcess.badInput, lines: ["--bind \(options.bindAddress): write an IP address such as 127.0.0.1 or 0.0.0.0"])
        }
        guard !listeners.isEmpty else { return nil }
        do throws(SystemError) {
            return try ServiceServer(name: name, listeners: listeners, limits: ServiceLimits(), handler: handler, say: say)
        } catch {
            let holder = PortHolder.sentence(listeners.map(\.endpoint)) ?? "another process may have the port"
            let option = "--\(ports == Self.admin ? "admin" : "zipkin")-port"
            throw StartError(
                status: SkeinProcess.systemError,
                lines: ["\(error): \(holder); choose others with \(option) and its like (skein run --help)"])
        }
    }

    /// Listeners, by their place among the open ones of `ports`, that stayed plaintext where others have TLS. What the others protect is
    /// not to be had there.
    private func leftOpen(_ ports: [ServicePort]) -> [Int: ServicePort] {
        guard tls != nil else { return [:] }
        let open = ports.filter { number($0) != 0 }
        return Dictionary(uniqueKeysWithValues: open.enumerated().filter { !isSecure($0.element) }.map { ($0.offset, $0.element) })
    }

    /// The part of a router that stands before the others: what a port that stayed plaintext does not answer.
    func gate(_ ports: [ServicePort]) -> EndpointRouter.Part {
        let leftOpen = leftOpen(ports)
        return { request, _ in
            guard let port = leftOpen[request.listener], !Self.answersInPlaintext(port, request.path) else { return nil }
            return .respond(.text(403, "the \(port.rawValue) port speaks plaintext and does not answer this: ask one that speaks TLS"))
        }
    }

    /// Whether a port that stayed plaintext answers a path.
    private static func answersInPlaintext(_ port: ServicePort, _ path: String) -> Bool {
        switch port {
        case .readiness: return ["/healthz/ready", "/ready"].contains(path)
        case .metrics: return ["/healthz/ready", "/ready", "/metrics", "/stats/prometheus"].contains(path)
        // What senders of telemetry need; neither queries nor reports, whose senders are known by their certificates.
        case .otlp, .otlpGRPC:
            return ["/v1/traces", "/v1/metrics"].contains(path) || path.hasPrefix("/opentelemetry.proto.collector.")
        case .zipkin, .admin, .jaeger, .tempo: return true
        }
    }

    /// The part of a router that stands behind the receivers, whose senders name themselves as they like, and before all that is read: what
    /// comes to a loopback address under a name that is not this machine's is refused. Probes are not.
    func hostGate() -> EndpointRouter.Part {
        guard SocketEndpoint(address: options.bindAddress, port: 1)?.isLoopback == true else { return { _, _ in nil } }
        let hosts = AllowedHosts([ProcessResources.hostName].filter { !$0.isEmpty } + options.allowedHosts)
        return { request, _ in
            if ["/health", "/healthz/ready", "/ready"].contains(request.path) { return nil }
            return hosts.refusal(request).map { .respond($0) }
        }
    }

    /// What an operator should know of ports that others reach, one line each.
    var warnings: [String] {
        guard let address = SocketEndpoint(address: options.bindAddress, port: 1), !address.isLoopback else { return [] }
        return ServicePort.allCases.filter { number($0) != 0 }.compactMap { port in
            let place = "\(port.rawValue) port \(options.endpoint(number(port)).map { "\($0)" } ?? "\(number(port))")"
            if isSecure(port) {
                guard !options.serviceTLS.asksClients || options.serviceTLS.clientCertificateIsOptional else { return nil }
                return "\(place) takes anybody for whom it is: name the authorities of clients with --tls-client-ca"
                    + (options.serviceTLS.asksClients ? ", without --tls-client-optional" : "")
            }
            // Whether this process is ready is no secret, and who asks for it seldom has a certificate.
            if port == .readiness, tls != nil { return nil }
            let mend = tls == nil ? "--tls-certificate with --tls-client-ca, or --tls-identity" : "--tls-ports \(port.rawValue)"
            return "\(place) speaks plaintext with anybody who reaches it: \(mend), or --bind 127.0.0.1"
        }
    }

    /// What can be done with the ports that are open, for the page.
    var hints: [EndpointHint] {
        let host = options.bindAddress
        func hint(_ title: String, _ port: ServicePort, _ command: (String) -> String) -> EndpointHint? {
            let scheme = isSecure(port) ? "https" : "http"
            return number(port) == 0 ? nil : EndpointHint(title: title, command: command("\(scheme)://\(host):\(number(port))"))
        }
        let hints = [
            hint("Zipkin spans", .zipkin) { "curl -X POST \($0)/api/v2/spans -H 'Content-Type: application/json' -d @spans.json" },
            hint("OpenTelemetry over HTTP", .otlp) { "export OTEL_EXPORTER_OTLP_ENDPOINT=\($0)" },
            hint("OpenTelemetry over gRPC", .otlpGRPC) {
                "export OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=\($0)"
            },
            hint("Prometheus", .metrics) { "curl \($0)/metrics" },
            hint("Traces", .zipkin) { "curl '\($0)/api/v2/traces?limit=5'" },
            options.outboundPort == 0
                ? nil
                : EndpointHint(title: "Through the proxy", command: "curl -x http://\(host):\(options.outboundPort) http://SERVICE:PORT/"),
        ]
        return hints.compactMap(\.self)
    }

    /// The name of an open port, for people.
    func title(_ number: UInt16) -> String? {
        guard let port = ServicePort.allCases.first(where: { self.number($0) == number }) else { return nil }
        let name = switch port {
        case .zipkin: "Zipkin and page"
        case .otlp: "OTLP"
        case .otlpGRPC: "OTLP/gRPC"
        case .jaeger: "Jaeger"
        case .tempo: "Tempo"
        case .admin, .readiness, .metrics: port.rawValue
        }
        return isSecure(port) ? name + " (TLS)" : name
    }

    func number(_ port: ServicePort) -> UInt16 {
        switch port {
        case .zipkin: options.zipkinPort
        case .otlp: options.otlpPort
        case .otlpGRPC: options.otlpGRPCPort
        case .admin: options.adminPort
        case .readiness: options.readinessPort
        case .metrics: options.metricsPort
        case .jaeger: options.jaegerPort
        case .tempo: options.tempoPort
        }
    }
}

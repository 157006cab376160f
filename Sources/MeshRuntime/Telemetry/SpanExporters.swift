internal import Collector
internal import EventLoops
internal import MeshConfig
internal import Primitives
internal import Routing
internal import TLS
internal import TelemetryModel

/// The exporters that tracing providers ask for, kept across reloads as long as their settings stay. On the control thread.
struct SpanExporters {
    private var running: [Exporter<SpanBatch>] = []
    private let statistics: CollectorStatistics
    private let say: @Sendable (String) -> Void
    /// Our own receivers: a provider that points here needs no exporter, its spans are stored already.
    private let own: [SocketEndpoint]
    private let tls: ServiceTLS
    /// The files of providers that no spans are sent to, because something of their TLS cannot be used. As many as a plan has sides.
    private var awaited: [SettledFiles] = []
    /// Those that the plan which is being made found.
    private var found: [SettledFiles] = []

    init(statistics: CollectorStatistics, own: [SocketEndpoint], tls: ServiceTLS, say: @escaping @Sendable (String) -> Void) {
        self.statistics = statistics
        self.own = own
        self.tls = tls
        self.say = say
    }

    /// The exporters of one side's policy; starts what is missing. Returns also what cannot be done.
    mutating func exporters(for policy: TracingPolicy, in mesh: MeshConfiguration) -> ([Exporter<SpanBatch>], [String]) {
        guard !policy.isReportingDisabled, let exporter = policy.exporter else { return ([], []) }
        let encoding: any ExporterEncoding<SpanBatch>
        var settings: ExporterSettings
        let security: (settings: ClientTLSSettings?, host: String)
        switch exporter {
        case .zipkin(let zipkin):
            encoding = ZipkinEncoding()
            settings = Self.settings(policy.provider, service: zipkin.service, port: zipkin.port, in: mesh)
            settings.path = zipkin.path
            let host = Self.host(zipkin.service)
            security = (ProviderTLS.settings(of: host, port: zipkin.port, in: mesh), host)
        case .zipkinAddress(let address):
            guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...]) else {
                return ([], ["tracing.zipkin.address \(address): write HOST:PORT"])
            }
            encoding = ZipkinEncoding()
            settings = Self.settings("zipkin", service: String(address[..<colon]), port: port, in: mesh)
            security = (mesh.mesh.tracingTLS, String(address[..<colon].filter { $0 != "[" && $0 != "]" }))
        case .openTelemetry:
            return (
                [],
                ["tracing provider \(policy.provider): sending OTLP is accepted, not yet in effect; spans are kept in the embedded store"])
        case .other(let name):
            return ([], ["tracing provider \(name): accepted, not yet in effect; spans are kept in the embedded store"])
        }
        if settings.path.isEmpty { settings.path = encoding.path }
        if let endpoint = SocketEndpoint(address: settings.host, port: settings.port), own.contains(endpoint) { return ([], []) }
        // Before they are read, so that no change between is missed.
        let files = ProviderTLS.files(security.settings, tls)
        let watched = files.isEmpty ? nil : SettledFiles(files)
        do throws(TLSError) {
            settings.tls = try ProviderTLS.client(security.settings, host: security.host, tls)
        } catch {
            if let watched { found.append(watched) }
            return ([], ["tracing provider \(settings.name): TLS with \(security.host): \(error); no spans are sent there"])
        }
        if let known = running.first(where: { $0.settings == settings && $0.encoding.name == encoding.name }) { return ([known], []) }
        do throws(SystemError) {
            let fresh = try Exporter(settings: settings, encoding: encoding, statistics: statistics, say: say)
            running.append(fresh)
            return ([fresh], [])
        } catch {
            return ([], ["tracing provider \(policy.provider): \(error)"])
        }
    }

    /// Stops the exporters that the plan which was made does not use any more, and waits for the files that it lacked.
    mutating func retire(except used: [Exporter<SpanBatch>]) {
        (awaited, found) = (found, [])
        let unused = running.filter { exporter in !used.contains { $0 === exporter } }
        running.removeAll { exporter in unused.contains { $0 === exporter } }
        for exporter in unused { exporter.stop() }
    }

    /// Looks at the files that are waited for, now and then. True = some are others than they were, and a plan should be made anew.
    mutating func haveAwaitedFilesChanged(now: MonotonicInstant) -> Bool {
        var haveChanged = false
        for index in awaited.indices where awaited[index].look(now: now) == .changed { haveChanged = true }
        return haveChanged
    }

    func stopAll() {
        for exporter in running { exporter.stop() }
    }

    /// `namespace/host` names a host as seen from a namespace; ServiceEntry hosts are full names either way.
    private static func host(_ service: String) -> String { service.split(separator: "/").last.map(String.init) ?? service }

    /// A service of the mesh is reached at its first endpoint; any other name is left to DNS.
    private static func settings(_ name: String, service: String, port: UInt16, in mesh: MeshConfiguration) -> ExporterSettings {
        let host = host(service)
        let entry = mesh.serviceEntries.first { $0.hosts.contains { $0.lowercased() == host.lowercased() } }
        if let entry, let servicePort = entry.port(numbered: port), let endpoint = mesh.endpoints(of: entry).first {
            return ExporterSettings(name: name, host: endpoint.address, port: endpoint.port(for: servicePort))
        }
        return ExporterSettings(name: name, host: host, port: port)
    }
}

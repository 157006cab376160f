extension Telemetry {
    init(id: ResourceID, position: SourcePosition, spec: NodeReader) {
        self.init(
            id: id, position: position, attachment: PolicyAttachment(spec: spec),
            accessLogging: spec.children("accessLogging").map(AccessLogging.init(reader:)),
            tracing: spec.children("tracing").map(Tracing.init(reader:)))
    }

    fileprivate static func mode(_ reader: NodeReader) -> Mode {
        reader.child("match")?.name("mode").flatMap(Mode.init(rawValue:)) ?? .clientAndServer
    }

    fileprivate static func providers(_ reader: NodeReader) -> [String] {
        reader.children("providers").compactMap { $0.string("name") }
    }
}

extension Telemetry.AccessLogging {
    init(reader: NodeReader) {
        self.init(
            position: reader.position, mode: Telemetry.mode(reader), providers: Telemetry.providers(reader),
            disabled: reader.bool("disabled"), filterExpression: reader.child("filter")?.string("expression") ?? "")
    }
}

extension Telemetry.Tracing {
    init(reader: NodeReader) {
        self.init(
            position: reader.position, mode: Telemetry.mode(reader), providers: Telemetry.providers(reader),
            randomSamplingPercentage: reader.double("randomSamplingPercentage"),
            disableSpanReporting: reader.bool("disableSpanReporting"))
    }
}

extension MeshSettings {
    init(id: ResourceID, position: SourcePosition, meshConfig mesh: NodeReader) {
        self.init()
        self.id = id
        self.position = position
        accessLogFile = mesh.string("accessLogFile") ?? accessLogFile
        accessLogFormat = mesh.string("accessLogFormat") ?? accessLogFormat
        accessLogEncoding = mesh.name("accessLogEncoding").flatMap(AccessLogEncoding.init(rawValue:)) ?? accessLogEncoding
        let tracingSwitch = mesh.bool("enableTracing")
        enableTracing = tracingSwitch ?? enableTracing
        if let proxy = mesh.child("defaultConfig") {
            let tracing = proxy.child("tracing")
            trustedProxies = proxy.child("gatewayTopology")?.uint32("numTrustedProxies") ?? trustedProxies
            let details = proxy.child("gatewayTopology")?.name("forwardClientCertDetails")
            forwardClientCertDetails = details.flatMap(ForwardClientCertDetails.init(rawValue:)) ?? forwardClientCertDetails
            tracingSampling = tracing?.double("sampling")
            tracingZipkinAddress =
                tracing?.child("zipkin")?.string("address") ?? proxy.string("zipkinAddress") ?? tracingZipkinAddress
            tracingTLS = tracing?.child("tlsSettings").map(ClientTLSSettings.init(reader:)) ?? tracingTLS
        }
        if let defaults = mesh.child("defaultProviders") {
            defaultTracingProviders = defaults.strings("tracing")
            defaultAccessLoggingProviders = defaults.strings("accessLogging")
            defaultMetricsProviders = defaults.strings("metrics")
        }
        speaksOfTracing =
            tracingSwitch != nil || tracingSampling != nil || !tracingZipkinAddress.isEmpty || !defaultTracingProviders.isEmpty
        extensionProviders = mesh.children("extensionProviders").map(ExtensionProvider.init(reader:))
        let normalization = mesh.child("pathNormalization")?.name("normalization")
        pathNormalization = normalization.flatMap(PathNormalization.init(rawValue:)) ?? pathNormalization
        outboundTrafficMode =
            mesh.child("outboundTrafficPolicy")?.name("mode").flatMap(OutboundTrafficMode.init(rawValue:)) ?? outboundTrafficMode
        trustDomain = mesh.string("trustDomain") ?? trustDomain
        trustDomainAliases = mesh.strings("trustDomainAliases")
        enablesAutoMutualTLS = mesh.bool("enableAutoMtls") ?? enablesAutoMutualTLS
        rootNamespace = mesh.string("rootNamespace") ?? rootNamespace
        locality = mesh.child("localityLbSetting").map(LocalitySettings.init(reader:))
    }
}

extension ExtensionProvider {
    init(reader: NodeReader) {
        self.init(
            name: reader.string("name") ?? "", position: reader.position,
            logFormatPosition: reader.child("envoyFileAccessLog")?.child("logFormat")?.position ?? reader.position,
            configuration: ExtensionProvider.configuration(reader))
    }

    private static func configuration(_ reader: NodeReader) -> Configuration {
        if let zipkin = reader.child("zipkin") {
            return .zipkin(
                Zipkin(
                    service: zipkin.string("service") ?? "", port: zipkin.port("port") ?? 0,
                    enable64BitTraceID: zipkin.bool("enable64bitTraceId") ?? false,
                    maxTagLength: zipkin.uint32("maxTagLength") ?? 256, path: zipkin.string("path") ?? "/api/v2/spans",
                    traceContext: zipkin.name("traceContextOption").flatMap(Zipkin.TraceContext.init(rawValue:)) ?? .b3))
        }
        if let otlp = reader.child("opentelemetry") {
            let http = otlp.child("http").map {
                OpenTelemetry.HTTP(
                    path: $0.string("path") ?? "/v1/traces", timeoutNanoseconds: $0.nanoseconds("timeout") ?? 0,
                    headers: $0.children("headers").map { ($0.string("name") ?? "", $0.string("value") ?? "") })
            }
            return .openTelemetry(
                OpenTelemetry(
                    service: otlp.string("service") ?? "", port: otlp.port("port") ?? 0,
                    maxTagLength: otlp.uint32("maxTagLength") ?? 256, http: http))
        }
        if let file = reader.child("envoyFileAccessLog") {
            return .envoyFileAccessLog(
                FileAccessLog(
                    path: file.string("path") ?? "/dev/stdout", format: format(file.child("logFormat")),
                    omitEmptyValues: file.bool("omitEmptyValues") ?? false))
        }
        if reader.has("prometheus") { return .prometheus }
        if let authorizer = ExternalAuthorizerSettings(provider: reader) { return .externalAuthorizer(authorizer) }
        let group = Schema.istio.messages["ExtensionProvider"]?.oneOfs.first ?? []
        return .other(group.first { reader.has($0) } ?? "")
    }

    private static func format(_ reader: NodeReader?) -> FileAccessLog.Format {
        if let text = reader?.string("text") { return .text(text) }
        if let labels = reader?.child("labels") {
            return .labels((labels.node.pairs ?? []).map { ($0.key, AccessLogValue($0.value)) })
        }
        return .inherited
    }
}

extension AccessLogValue {
    /// Recursion is bounded by `ConfigLimits.nestingDepth`.
    init(_ node: YAMLNode) {
        switch node.content {
        case .mapping(let pairs): self = .object(pairs.map { ($0.key, AccessLogValue($0.value)) })
        case .sequence(let items): self = .list(items.map { AccessLogValue($0) })
        case .scalar(let scalar):
            switch scalar.value {
            case .null: self = .constant("null")
            case .bool(let value): self = .constant(value ? "true" : "false")
            case .integer(let value): self = .constant(String(value))
            case .number(let value): self = value.isFinite ? .constant(String(value)) : .format(scalar.text)
            case .string: self = .format(scalar.text)
            }
        }
    }
}

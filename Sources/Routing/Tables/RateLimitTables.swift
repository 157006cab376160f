public import HTTP
internal import MeshConfig
internal import Primitives

/// A limit as requests see it; the buckets are elsewhere.
public struct RateLimitEntry: Sendable, BitwiseCopyable {
    /// The same for the same limit of the same resource in every configuration.
    public var id: UInt64 = 0
    public var maxTokens: UInt32 = 0
    public var tokensPerFill: UInt32 = 0
    public var fillNanoseconds: UInt64 = 0
    var match = MatchEntry()
    /// Of `FieldText`s; none = every host.
    var hosts = TableRange()
    /// Of `FieldText`s whose value is `h`, `q` or `i`.
    var keys = TableRange()
    /// Parts per million of the requests that are counted, and that are refused when no token is left.
    public var enabledShare: UInt32 = 1_000_000
    public var enforcedShare: UInt32 = 1_000_000
    /// `FieldText`s that a refusal carries.
    var responseFields = TableRange()
}

/// What tells one counted party from another.
@unsafe
public enum RateLimitPart {
    case value(UnsafeRawBufferPointer)
    case client
    case absent
}

extension RoutingTables {
    public func rateLimit(_ index: Int) -> RateLimitEntry { unsafe rateLimits[index] }

    /// Calls `body` with each field that a refusal by this limit carries.
    public func forEachRefusalField(_ entry: RateLimitEntry, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void) {
        for index in entry.responseFields.indices { unsafe body(bytes(fieldTexts[index].name), bytes(fieldTexts[index].value)) }
    }

    /// Whether a limit counts the request.
    public func applies(_ entry: RateLimitEntry, port: UInt16, _ request: borrowing RouteRequest, _ head: borrowing MessageHead) -> Bool {
        if entry.hosts.count > 0 {
            let host = unsafe UnsafeRawBufferPointer(rebasing: request.authority[..<request.host.hostCount])
            var isNamed = false
            for index in entry.hosts.indices where unsafe !isNamed && matchesHost(bytes(fieldTexts[index].name), host) { isNamed = true }
            if !isNamed { return false }
        }
        // Matching works on addresses.
        var match = entry.match
        return unsafe matches(&match, port: port, request, head)
    }

    private func matchesHost(_ wanted: UnsafeRawBufferPointer, _ host: UnsafeRawBufferPointer) -> Bool {
        guard unsafe wanted.count > 0 && wanted[0] == UInt8(ascii: "*") else { return unsafe ASCII.equalIgnoringCase(host, wanted) }
        let suffix = unsafe UnsafeRawBufferPointer(rebasing: wanted[1...])
        guard host.count > suffix.count else { return false }
        return unsafe ASCII.equalIgnoringCase(UnsafeRawBufferPointer(rebasing: host[(host.count - suffix.count)...]), suffix)
    }

    /// Calls `add` with each part of who is counted.
    public func forEachPart(
        _ entry: RateLimitEntry, _ request: borrowing RouteRequest, _ head: borrowing MessageHead, _ add: (RateLimitPart) -> Void
    ) {
        for index in entry.keys.indices {
            let key = unsafe fieldTexts[index]
            switch unsafe bytes(key.value)[0] {
            case UInt8(ascii: "h"):
                if let value = unsafe head.value(named: bytes(key.name)) { unsafe add(.value(value)) } else { unsafe add(.absent) }
            case UInt8(ascii: "q"):
                if let value = unsafe parameter(bytes(key.name), request.query) { unsafe add(.value(value)) } else { unsafe add(.absent) }
            default: unsafe add(.client)
            }
        }
    }
}

extension RouteCompiler {
    /// The limits of a listener's side that apply to the node.
    /// `port`: of the workload, on the inbound side.
    mutating func addRateLimits(_ side: RateLimit.Side, port: UInt16 = 0, to listener: inout ListenerEntry) {
        var entries: [RateLimitEntry] = []
        for resource in configuration.rateLimits where resource.side == side {
            guard resource.id.namespace == inputs.node.namespace || resource.id.namespace == configuration.mesh.rootNamespace,
                resource.selector.allSatisfy({ inputs.node.labels[$0.key] == $0.value })
            else { continue }
            for (index, limit) in resource.limits.enumerated() where limit.port == nil || limit.port == port {
                guard limit.burst > 0, limit.requests > 0, limit.perNanoseconds >= 50_000_000 else {
                    report(
                        .error, "SKN0314", limit.position, resource.id, "limits",
                        "a limit needs at least 1 request, a burst of at least 1 and an interval of at least 50ms")
                    continue
                }
                var entry = RateLimitEntry()
                entry.maxTokens = limit.burst
                entry.tokensPerFill = limit.requests
                entry.fillNanoseconds = limit.perNanoseconds
                let name = "\(resource.id)#\(index)"
                entry.id = unsafe Array(name.utf8).withUnsafeBytes { unsafe ByteHash.hash($0, seed: Self.rateLimitSeed) }
                entry.enabledShare = FaultPolicy.share(percent: limit.enabledPercent)
                entry.enforcedShare = FaultPolicy.share(percent: limit.enforcedPercent)
                let fieldStart = builder.fieldTexts.count
                for (name, value) in limit.responseHeaders where isSendable(name, value, limit.position, resource.id) {
                    builder.fieldTexts.append(FieldText(name: builder.add(text: name.lowercased()), value: builder.add(text: value)))
                }
                entry.responseFields = builder.range(fieldStart, builder.fieldTexts.count)
                if let match = limit.match { entry.match = addMatch(match) }
                let hostStart = builder.fieldTexts.count
                for host in resource.hosts {
                    let full = HostName.resolve(host, namespace: resource.id.namespace).lowercased()
                    for alternative in full.hasPrefix("*") ? [full] : HostName.alternatives(of: full, from: inputs.node.namespace) {
                        builder.fieldTexts.append(FieldText(name: builder.add(text: alternative)))
                    }
                }
                entry.hosts = builder.range(hostStart, builder.fieldTexts.count)
                let keyStart = builder.fieldTexts.count
                for key in limit.keys {
                    let (text, kind): (String, String) =
                        switch key {
                        case .header(let name): (name, "h")
                        case .queryParameter(let name): (name, "q")
                        case .clientIP: ("", "i")
                        }
                    builder.fieldTexts.append(FieldText(name: builder.add(text: text), value: builder.add(text: kind)))
                }
                entry.keys = builder.range(keyStart, builder.fieldTexts.count)
                entries.append(entry)
            }
        }
        let start = builder.rateLimits.count
        builder.rateLimits.append(contentsOf: entries)
        listener.rateLimits = builder.range(start, builder.rateLimits.count)
    }

    private mutating func isSendable(_ name: String, _ value: String, _ position: SourcePosition, _ resource: ResourceID) -> Bool {
        let isToken = !name.isEmpty && name.utf8.allSatisfy { $0 > 32 && $0 < 127 && !"()<>@,;:\\\"/[]?={}".utf8.contains($0) }
        guard isToken, value.utf8.allSatisfy({ $0 >= 32 && $0 != 127 }) else {
            report(.error, "SKN0309", position, resource, "response_headers_to_add", "\"\(name): \(value)\" is no header field (RFC 9110 5.1, 5.5)")
            return false
        }
        return true
    }

    private static var rateLimitSeed: UInt64 { 0x51_7C_C1_B7_27_22_0A_95 }
}

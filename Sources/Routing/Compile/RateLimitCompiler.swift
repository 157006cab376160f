internal import Matching
internal import MeshConfig
internal import Primitives

/// Local rate limits of a listener.
struct RateLimitCompiler {
    let scope: CompileScope
    let draft: SnapshotBuilder

    private static let seed: UInt64 = 0x51_7C_C1_B7_27_22_0A_95

    /// Those of a listener's side that apply to the node. `port`: of the workload, on the inbound side.
    func compileLimits(_ side: RateLimit.Side, port: UInt16 = 0) -> TableRange {
        let root = scope.configuration.mesh.rootNamespace
        var entries: [RateLimitEntry] = []
        for resource in scope.configuration.rateLimits where resource.side == side && scope.isSelected(resource.selector) {
            guard resource.id.namespace == scope.node.namespace || resource.id.namespace == root else { continue }
            for (index, limit) in resource.limits.enumerated() where limit.port == nil || limit.port == port {
                if let entry = compileLimit(limit, index, of: resource) { entries.append(entry) }
            }
        }
        return draft.rateLimits.add(contentsOf: entries)
    }

    /// Nil, which is reported, for one that cannot be kept.
    private func compileLimit(_ limit: RateLimit.Limit, _ index: Int, of resource: RateLimit) -> RateLimitEntry? {
        guard limit.burst > 0, limit.requests > 0, limit.perNanoseconds >= 50_000_000 else {
            draft.report(
                .error, "SKN0314", limit.position, resource.id, "limits",
                "a limit needs at least 1 request, a burst of at least 1 and an interval of at least 50ms")
            return nil
        }
        var entry = RateLimitEntry()
        entry.maxTokens = limit.burst
        entry.tokensPerFill = limit.requests
        entry.fillNanoseconds = limit.perNanoseconds
        entry.id = unsafe Array("\(resource.id)#\(index)".utf8).withUnsafeBytes { unsafe ByteHash.hash($0, seed: Self.seed) }
        entry.enabledShare = FaultPolicy.share(percent: limit.enabledPercent)
        entry.enforcedShare = FaultPolicy.share(percent: limit.enforcedPercent)
        let fields = limit.responseHeaders.filter { isSendable($0.name, $0.value, limit.position, resource.id) }
        entry.responseFields = draft.fieldTexts.add(
            contentsOf: fields.map { FieldText(name: draft.text.add(text: $0.name.lowercased()), value: draft.text.add(text: $0.value)) })
        if let match = limit.match { entry.match = Int32(clamping: draft.matches.add(MatchCompiler(draft: draft).compileMatch(match))) }
        entry.hosts = compileHosts(of: resource)
        entry.keys = draft.rateLimitKeys.add(contentsOf: limit.keys.map { compileKey($0) })
        return entry
    }

    private func compileHosts(of resource: RateLimit) -> TableRange {
        let names = resource.hosts.flatMap { host in
            let full = HostName.resolve(host, namespace: resource.id.namespace).lowercased()
            return full.hasPrefix("*") ? [full] : HostName.alternatives(of: full, from: scope.node.namespace)
        }
        return draft.hostPatterns.add(contentsOf: names.map { draft.matchers.addHost($0) })
    }

    private func compileKey(_ key: RateLimit.Key) -> RateLimitKey {
        switch key {
        case .header(let name): .header(draft.text.add(text: name))
        case .queryParameter(let name): .queryParameter(draft.text.add(text: name))
        case .clientIP: .clientAddress
        case .claim(let names): .claim(draft.text.add(text: ClaimPath.joined(names)))
        }
    }

    private func isSendable(_ name: String, _ value: String, _ position: SourcePosition, _ resource: ResourceID) -> Bool {
        let isToken = !name.isEmpty && name.utf8.allSatisfy { $0 > 32 && $0 < 127 && !"()<>@,;:\\\"/[]?={}".utf8.contains($0) }
        guard isToken, value.utf8.allSatisfy({ $0 >= 32 && $0 != 127 }) else {
            draft.report(
                .error, "SKN0309", position, resource, "response_headers_to_add",
                "\"\(name): \(value)\" is no header field (RFC 9110 5.1, 5.5)")
            return false
        }
        return true
    }
}

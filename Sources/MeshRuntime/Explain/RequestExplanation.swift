internal import HTTP
public import MeshConfig
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// A request as a person describes it: what `skein explain` is asked about.
public struct RequestDescription: Sendable {
    public var method = "GET"
    /// `http://host[:port]/path?query`.
    public var url: String
    public var headers: [(name: String, value: String)] = []
    public var isInbound = false
    /// Who sends it, by a certificate: with or without `spiffe://`; empty = plaintext.
    public var principal = ""
    /// The address it comes from; empty = loopback.
    public var sourceAddress = ""
    /// Pins the draw among weighted destinations.
    public var seed: UInt64 = 1

    public init(url: String) { self.url = url }
}

/// The answer of `skein explain`: lines of a tree for people, fields for machines.
public struct RequestExplanation: Sendable {
    /// A fact, with the facts below it.
    public struct Node: Sendable {
        public var key: String
        public var value: String
        public var children: [Node] = []

        public init(_ key: String, _ value: String, _ children: [Node] = []) {
            self.key = key
            self.value = value
            self.children = children
        }
    }

    public var nodes: [Node] = []
    /// Whether something takes the request; for a served request, whether it was found.
    public var isRouted = false
    /// Why there is no answer; the configuration or the request is wrong.
    public var errors: [String] = []

    /// Explains against a configuration on disk, as the proxy of `node` would act.
    public static func run(
        from source: ConfigurationSource, node: String?, _ request: RequestDescription, hasIdentity: Bool = false
    ) -> RequestExplanation {
        var result = RequestExplanation()
        let (mesh, list) = MeshConfiguration.load(from: source)
        guard !list.hasErrors else {
            result.errors = list.items.filter { $0.severity == .error }.flatMap(\.lines)
            return result
        }
        var identity = NodeIdentity()
        if let node {
            guard let workload = mesh.workload(named: node) else {
                result.errors = ["--node \(node): no WorkloadEntry of that name"]
                return result
            }
            identity = NodeIdentity(workload)
        }
        var inputs = CompileInputs(node: identity, catalogs: Catalogs())
        inputs.outboundListener = SocketEndpoint(ipv4: 0x7F00_0001, port: 15001)
        // What is not enforced is part of the answer, not a reason for none.
        inputs.allowsUnenforced = true
        inputs.hasIdentity = hasIdentity
        inputs.inboundListener = identity.name.isEmpty ? nil : SocketEndpoint(ipv4: 0x7F00_0001, port: 15006)
        let (snapshot, problems) = RouteCompiler.compile(mesh, inputs)
        let wrong = problems.filter { $0.severity == .error }
        guard wrong.isEmpty else {
            result.errors = wrong.map(\.text)
            return result
        }
        let (policies, badRules) = AuthorizationCompiler.compile(
            mesh, namespace: identity.namespace, labels: identity.labels, names: inputs.catalogs, catalog: RuleCatalog())
        guard badRules.isEmpty else {
            result.errors = badRules.map(\.text)
            return result
        }
        let keys = IssuerKeys()
        let (tokens, badKeys) = RequestAuthenticationCompiler.compile(
            mesh, namespace: identity.namespace, labels: identity.labels, names: inputs.catalogs, keys: keys)
        let badOnes = badKeys.filter { $0.severity == .error }
        guard badOnes.isEmpty else {
            result.errors = badOnes.map(\.text)
            return result
        }
        result.explain(request, snapshot, AccessPolicies(authorization: policies, tokens: tokens, keys: keys), live: nil)
        return result
    }

    /// As one line of JSON: `{"routed":true,"steps":[{"what":"…","value":"…","details":[…]},…]}`.
    public var json: String { "{\"routed\":\(isRouted),\"steps\":[\(nodes.map(Self.json).joined(separator: ","))]}" }

    private static func json(_ node: Node) -> String {
        let details = node.children.isEmpty ? "" : ",\"details\":[\(node.children.map(json).joined(separator: ","))]"
        return "{\"what\":\(JSONText.quote(node.key)),\"value\":\(JSONText.quote(node.value))\(details)}"
    }

    // MARK: The walk

    /// `live`: what a running proxy knows of its endpoints; nil = only the configuration is known.
    mutating func explain(
        _ request: RequestDescription, _ snapshot: RoutingSnapshot, _ access: AccessPolicies, live: LiveUpstreams?
    ) {
        let side: ProxySide = request.isInbound ? .inbound : .outbound
        guard let parts = Self.parts(of: request.url) else {
            errors = ["\(request.url): write http://host[:port]/path"]
            return
        }
        // Whoever comes to a gateway comes to one of its ports; everybody else to the common listener.
        let authority = Array(parts.authority.utf8)
        let named = unsafe authority.withUnsafeBytes { unsafe Authority.parse($0)?.port ?? 0 }
        let port: UInt16 = named != 0 ? named : parts.isHTTPS ? 443 : 80
        let tables = unsafe snapshot.tables
        let gateways = snapshot.listeners.indices.filter { tables.listener($0).isEdge }
        guard let listener = side == .outbound && !gateways.isEmpty
            ? gateways.first(where: { snapshot.listeners[$0].gatewayPort == port })
                ?? gateways.first(where: { snapshot.listeners[$0].gatewayPort == 0 })
            : snapshot.listeners.indices.first(where: { snapshot.listeners[$0].side == side && tables.listener($0).workloadPort == port })
                ?? snapshot.listeners.firstIndex(where: { $0.side == side })
        else {
            let ports = gateways.map { String(snapshot.listeners[$0].gatewayPort) }.joined(separator: ", ")
            errors = [
                ports.isEmpty
                    ? "there is no \(side) listener; name the workload with --node" : "the gateway has no port \(port); it has \(ports)"
            ]
            return
        }
        var text = "\(request.method) \(parts.target) HTTP/1.1\r\n"
        if !request.headers.contains(where: { $0.name.lowercased() == "host" }) { text += "Host: \(parts.authority)\r\n" }
        for (name, value) in request.headers { text += "\(name): \(value)\r\n" }
        text += "\r\n"
        var head = MessageHead()
        var scan = HeadScan()
        let bytes = Array(text.utf8)
        let plan = snapshot.listeners[listener]
        nodes.append(Node("listener", "\(plan.name) \(plan.endpoint)"))
        var row = listener
        if tables.choosesByServerName(listener: listener) {
            guard parts.isHTTPS else {
                nodes.append(Node("refused", "the port takes TLS alone: write https://"))
                return
            }
            let name = String(parts.authority.prefix { $0 != ":" })
            if let cluster = snapshot.clusterNamed(byServerName: name, listener: listener) {
                nodes.append(Node("tls", "passed on as it is (AUTO_PASSTHROUGH) to \(cluster)"))
                return
            }
            guard let server = snapshot.securedServer(listener: listener, serverName: name) else {
                nodes.append(Node("tls", "no server has the name \(name): NR filter_chain_not_found, unless a tls route passes it through"))
                return
            }
            nodes.append(Node("tls", server.text))
            row = server.row
        }
        if side == .inbound, row == listener, let security = snapshot.inboundSecurityText { nodes.append(Node("takes", security)) }
        if !snapshot.unenforced.isEmpty {
            let policies = snapshot.unenforced.map {
                Node($0.resource?.description ?? "policy", "\($0.field) (\($0.position)) \($0.message)")
            }
            nodes.append(
                Node(
                    "not enforced", "\(policies.count) \(policies.count == 1 ? "policy" : "policies") in the way of this request or others",
                    policies))
        }
        unsafe bytes.withUnsafeBytes { buffer in
            switch unsafe HeadParser.parseRequest(buffer, scan: &scan, limits: HTTPLimits(), into: &head) {
            case .complete: break
            case .incomplete:
                errors = ["the request is no HTTP/1.1 request"]
                return
            case .failed(let error):
                nodes.append(Node("refused", "\(error.status): \(error.reason)"))
                return
            }
            guard let target = RequestTarget.parse(head.targetBytes, method: head.methodBytes), let authority = head.bytes(of: .host) else {
                nodes.append(Node("refused", "400: malformed request target"))
                return
            }
            let path = head.targetBytes[target.path]
            var normalized = [UInt8](repeating: 0, count: PathNormalizer.growthMax * path.count + 1)
            let outcome = unsafe normalized.withUnsafeMutableBufferPointer { out in
                unsafe out.baseAddress.map {
                    unsafe PathNormalizer.normalize(path.buffer, mode: PathNormalization(snapshot.pathNormalization), into: $0)
                }
            }
            let count: Int
            switch outcome {
            case .changed(let length): count = length
            case .unchanged, nil:
                normalized = path.copied
                count = path.count
            case .rejected:
                nodes.append(Node("refused", "400 path_normalization_failed"))
                return
            }
            if !normalized[..<count].elementsEqual(path.copied) {
                nodes.append(Node("path normalised to", String(decoding: normalized[..<count], as: UTF8.self)))
            }
            let query = unsafe Self.normalized(
                query: head.targetBytes[target.query].buffer, PathNormalization(snapshot.pathNormalization))
            unsafe normalized.withUnsafeBytes { normal in
                unsafe query.withUnsafeBytes { query in
                    let listener = tables.listener(row)
                    var authenticator = TokenAuthenticator(keys: access.keys, seed: 1)
                    let isGuarded = listener.side == .inbound || listener.isEdge
                    let isKnown = unsafe isGuarded ? authenticate(&authenticator, access, head, query: query) : true
                    let asked = unsafe RouteRequest(
                        method: head.methodBytes, path: LentBytes(normal).prefix(count), query: LentBytes(query),
                        authority: authority, isHTTPS: parts.isHTTPS, claims: authenticator.claims)
                    var draw = RandomSource(seed: request.seed)
                    let explanation = snapshot.explain(listener: row, asked, head, draw: &draw)
                    let isAllowed = unsafe isKnown
                        ? authorise(request, snapshot, access.authorization, row: row, asked, head, authenticator.claims) : true
                    describe(explanation, snapshot, live, asked)
                    if !isKnown || !isAllowed { isRouted = false }
                }
            }
        }
    }

    private static func normalized(query: UnsafeRawBufferPointer, _ mode: PathNormalization) -> [UInt8] {
        var encoded = [UInt8](repeating: 0, count: PathNormalizer.growthMax * query.count)
        let count = unsafe encoded.withUnsafeMutableBufferPointer { out in
            unsafe out.baseAddress.flatMap { unsafe PathNormalizer.encode(query: query, mode: mode, into: $0) }
        }
        return unsafe count.map { Array(encoded[..<$0]) } ?? Array(query)
    }

    private static func parts(of url: String) -> (authority: String, target: String, isHTTPS: Bool)? {
        // A fragment never leaves the client (RFC 9110 4.2.5).
        var rest = url.prefix { $0 != "#" }
        var isHTTPS = false
        if rest.hasPrefix("http://") {
            rest = rest.dropFirst(7)
        } else if rest.hasPrefix("https://") {
            rest = rest.dropFirst(8)
            isHTTPS = true
        }
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let authority = String(rest[..<end])
        // `ftp://host/` is not a host named `ftp:`.
        guard !authority.isEmpty, !(authority.hasSuffix(":") && rest[end...].hasPrefix("//")) else { return nil }
        let target = String(rest[end...])
        return (authority, target.isEmpty ? "/" : target.hasPrefix("?") ? "/" + target : target, isHTTPS)
    }

    private mutating func describe(
        _ explanation: RouteExplanation, _ snapshot: RoutingSnapshot, _ live: LiveUpstreams?, _ request: borrowing RouteRequest
    ) {
        guard explanation.hasVirtualHost else {
            let host = request.authority.text
            nodes.append(Node("virtual host", "none has the name \(host) at that port: 404 NR route_not_found", Self.alike(host, snapshot)))
            return
        }
        for (index, rule) in explanation.rules.enumerated() {
            let place = rule.position.map { " (\($0))" } ?? ""
            let owner = rule.resource.map { " of \($0.namespace)/\($0.name)" } ?? ""
            let matches = rule.matches.map { match in
                Node(
                    "match", (match.holds ? "holds" : "does not hold") + (match.position.map { " (\($0))" } ?? ""),
                    match.clauses.map { clause in
                        let found = clause.found.map { "\"\($0)\"" } ?? "nothing"
                        return Node(clause.subject, "\(clause.wanted): the request has \(found) -> \(clause.holds ? "yes" : "no")")
                    })
            }
            let verdict = rule.takes ? (rule.matches.isEmpty ? "takes every request" : "takes it") : "no"
            nodes.append(Node("rule \(index + 1)", "\(rule.name)\(owner)\(place): \(verdict)", matches))
        }
        switch explanation.decision {
        case .notFound: nodes.append(Node("decision", "no rule takes it: 404 NR route_not_found"))
        case .noCluster:
            nodes.append(
                Node("decision", "the destination's host or subset does not exist: 503 NC cluster_not_found", destinations(explanation)))
        case .redirect(let choice):
            isRouted = true
            var out = ByteBuffer()
            let actions = unsafe snapshot.tables.actions(choice.route)
            unsafe snapshot.tables.location(actions.redirect, match: choice.match, request, requestPort: 80, into: &out)
            nodes.append(Node("decision", unsafe "redirect \(actions.redirect.status) to \(String(decoding: out.readable, as: UTF8.self))"))
        case .directResponse(let choice):
            isRouted = true
            let direct = unsafe snapshot.tables.actions(choice.route).directResponse
            nodes.append(Node("decision", unsafe "answered with \(direct.status) and \(snapshot.tables.directBody(direct).count) bytes"))
        case .cluster(let cluster, let choice):
            isRouted = true
            nodes.append(Node("decision", "goes to \(snapshot.name(ofCluster: cluster))", destinations(explanation)))
            describe(choice, snapshot, request)
            describe(cluster: Int(cluster), snapshot, live)
        }
    }

    /// Hosts that may have been meant: short names mean the caller's namespace, and without a node there is none but the default one.
    private static func alike(_ host: String, _ snapshot: RoutingSnapshot) -> [Node] {
        let name = host.lowercased().prefix { $0 != ":" && $0 != "." }
        guard !name.isEmpty else { return [] }
        let hosts = Set(snapshot.hosts)
        // `reviews.bookinfo` for `reviews.bookinfo.svc.cluster.local`.
        let meant = hosts.filter { $0.hasPrefix(name + ".") && !$0.hasSuffix(".svc") }.map { $0.replacing(".svc.cluster.local", with: "") }
        let near = meant.isEmpty ? EditDistance.nearest(to: host, among: hosts.sorted()).map { [$0] } ?? [] : Set(meant).sorted()
        return near.prefix(5).map {
            Node("did you mean", "\($0)? A short name means the caller's namespace: name the caller with --node, or write the whole name")
        }
    }

    private func destinations(_ explanation: RouteExplanation) -> [Node] {
        guard explanation.destinations.count > 1 else { return [] }
        return explanation.destinations.map { one in
            let percent = (one.share * 1000).rounded() / 10
            return Node(one.exists ? one.cluster : "(missing)", "weight \(one.weight), \(percent) %" + (one.isDrawn ? "  <- drawn" : ""))
        }
    }

    /// What happens on the way: rewrites, time limits, retries, faults, mirrors.
    private mutating func describe(_ choice: RouteChoice, _ snapshot: RoutingSnapshot, _ request: borrowing RouteRequest) {
        let tables = unsafe snapshot.tables
        let actions = tables.actions(choice.route)
        if actions.rewrite.isActive {
            var out = ByteBuffer()
            tables.rewrite(actions.rewrite, match: choice.match, path: request.path, into: &out)
            var authority = request.authority
            if let changed = tables.rewrittenAuthority(actions.rewrite) { authority = changed }
            nodes.append(
                Node("rewritten to", "\(authority.text)\(out.lent.text)")
            )
        }
        let edits = tables.requestEdits(destination: choice.destination)
        if edits.isActive {
            nodes.append(
                Node(
                    "request headers", "changed",
                    (0..<tables.additionCount(edits)).map { index in
                        let (name, value) = tables.addition(edits, index)
                        return Node("add", "\(name.text): \(value.text)")
                    }))
        }
        let timeout = tables.route(choice.route).timeoutNanoseconds
        nodes.append(Node("timeout", timeout == 0 ? "none" : "\(timeout / 1_000_000) ms over all attempts"))
        nodes.append(Self.retries(actions.retry, whole: timeout))
        let fault = actions.fault
        if fault.delayShare > 0 {
            nodes.append(Node("fault", "delay of \(fault.delayNanoseconds / 1_000_000) ms for \(Self.percent(fault.delayShare))"))
        }
        if fault.abortShare > 0, fault.abort != .none {
            nodes.append(
                Node(
                    "fault",
                    "abort with \(fault.abort == .grpc ? "grpc-status " : "")\(fault.abortStatus) for \(Self.percent(fault.abortShare))"))
        }
        for index in actions.mirrors.indices {
            let mirror = tables.mirror(index)
            let name = mirror.cluster < 0 ? "(missing, skipped)" : snapshot.name(ofCluster: UInt32(mirror.cluster))
            nodes.append(Node("mirror", "\(name) for \(Self.percent(mirror.share))"))
        }
    }

    private static func percent(_ share: UInt32) -> String { "\(Double(share) / 10_000) % of the requests" }

    private static func retries(_ policy: RetryPolicy, whole: UInt64) -> Node {
        guard policy.attempts > 0 else { return Node("retries", "none") }
        var children = [
            Node(
                "conditions",
                policy.conditions.nameList + (policy.isAskedFor ? "" : " (Istio's default: what is not idempotent only if nobody got it)"))
        ]
        if policy.perTryTimeoutNanoseconds > 0 {
            let isIgnored = whole > 0 && policy.perTryTimeoutNanoseconds >= whole
            children.append(
                Node("per try", "\(policy.perTryTimeoutNanoseconds / 1_000_000) ms" + (isIgnored ? ", ignored: not below the timeout" : ""))
            )
        }
        let base = policy.backoffNanoseconds
        children.append(Node("back-off", "random below \(base / 1_000_000) ms at first, doubling, at most \(base * 10 / 1_000_000) ms"))
        return Node("retries", "at most \(policy.attempts) more", children)
    }
}

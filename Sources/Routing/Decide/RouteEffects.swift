internal import CRE2
internal import HTTP
public import Primitives

/// The effects of a route's actions on bytes. Pure; everything is written into the caller's buffers.
extension RoutingTables {
    @inlinable @inline(__always)
    public func actions(_ route: UInt32) -> RouteActions { unsafe actionTable[Int(routes[Int(route)].actions)] }

    public func mirror(_ index: Int) -> MirrorEntry { unsafe mirrors[index] }

    public func isRetriable(_ policy: RetryPolicy, status: UInt16) -> Bool {
        for index in policy.statusCodes.indices where unsafe statusCodes[index] == status { return true }
        return false
    }

    // MARK: Rewrite

    /// Appends the path that the upstream gets; `path` is without its query, `match` that of the decision.
    public func rewrite(_ entry: RewriteEntry, match: Int32, path: UnsafeRawBufferPointer, into out: inout ByteBuffer) {
        switch entry.path {
        case .unchanged: unsafe out.append(path)
        case .uri:
            unsafe out.append(bytes(entry.text))
            unsafe out.append(UnsafeRawBufferPointer(rebasing: path[replacedCount(match, path)...]))
        case .regex:
            let text = unsafe bytes(entry.text)
            let room = unsafe RoutingTables.rewrittenBytesMax
            let start = unsafe out.reserve(room).assumingMemoryBound(to: CChar.self)
            let count = unsafe skein_re2_replace(
                regexes[Int(entry.regex)], path.baseAddress?.assumingMemoryBound(to: CChar.self), path.count,
                text.baseAddress?.assumingMemoryBound(to: CChar.self), text.count, start, room)
            // Too long to be a path: it stays as it is.
            if count < 0 { unsafe out.append(path) } else { out.commit(count) }
        }
    }

    /// Longest path that a regex rewrite makes, bytes.
    static var rewrittenBytesMax: Int { 32 * 1024 }

    /// How much of the path a rewrite replaces: a matched prefix, or all of it; without a condition on the path, the slash (as Envoy's `prefix: /`).
    private func replacedCount(_ match: Int32, _ path: UnsafeRawBufferPointer) -> Int {
        guard match >= 0 else { return min(1, path.count) }
        let matcher = unsafe matches[Int(match)].path
        switch matcher.kind {
        case .prefix: return min(path.count, Int(matcher.text.count))
        case .any, .present: return min(1, path.count)
        case .exact, .regex: return path.count
        }
    }

    /// The authority that the upstream gets instead; nil = the client's.
    public func rewrittenAuthority(_ entry: RewriteEntry) -> UnsafeRawBufferPointer? {
        entry.authority.count > 0 ? unsafe bytes(entry.authority) : nil
    }

    // MARK: Redirect and direct response

    /// Appends the value of `Location`. `requestPort`: what a captured client dialled, else 0, and what it names counts.
    public func location(_ entry: RedirectEntry, match: Int32, _ request: borrowing RouteRequest, requestPort: UInt16, into out: inout ByteBuffer) {
        let isHTTPS = unsafe entry.scheme.count > 0 ? ASCII.equal(bytes(entry.scheme), "https") : request.isHTTPS
        if entry.scheme.count > 0 { unsafe out.append(bytes(entry.scheme)) } else { out.append(isHTTPS ? "https" : "http") }
        out.append("://")
        let hostCount = unsafe request.host.hostCount
        var port = unsafe request.host.port
        // As Envoy: a port that the client named stays, but for the one that its own scheme implies.
        let implied: UInt16 = unsafe request.isHTTPS ? 443 : 80
        if entry.port == .unchanged, port == implied, unsafe isHTTPS != request.isHTTPS { port = 0 }
        if entry.authority.count > 0 {
            unsafe out.append(bytes(entry.authority))
        } else {
            unsafe out.append(UnsafeRawBufferPointer(rebasing: request.authority[..<hostCount]))
        }
        var shown: UInt16 = 0
        switch entry.port {
        case .number: shown = entry.portNumber
        case .fromRequestPort: shown = requestPort != 0 ? requestPort : port
        case .fromProtocolDefault: shown = 0
        case .unchanged: shown = entry.authority.count > 0 ? 0 : port
        }
        if shown != 0, shown != (isHTTPS ? 443 : 80) {
            out.append(byte: UInt8(ascii: ":"))
            out.append(decimal: UInt64(shown))
        }
        guard entry.uri.count > 0 else {
            unsafe out.append(request.path)
            unsafe out.append(request.query)
            return
        }
        let uri = unsafe bytes(entry.uri)
        unsafe out.append(uri)
        // A target with a query of its own is complete.
        if unsafe !uri.contains(UInt8(ascii: "?")) { unsafe out.append(request.query) }
    }

    public func directBody(_ entry: DirectResponseEntry) -> UnsafeRawBufferPointer { unsafe bytes(entry.body) }

    // MARK: Header edits

    public func requestEdits(destination: UInt32) -> HeaderEdits { unsafe destinations[Int(destination)].requestHeaders }
    public func responseEdits(destination: UInt32) -> HeaderEdits { unsafe destinations[Int(destination)].responseHeaders }

    /// Whether a field goes before values are made of the others, by its name in any case.
    public func removes(_ edits: HeaderEdits, _ name: UnsafeRawBufferPointer) -> Bool { unsafe lists(edits.removals, name) }

    /// Whether a field gives way to an addition, which may still be made of its value.
    public func replaces(_ edits: HeaderEdits, _ name: UnsafeRawBufferPointer) -> Bool { unsafe lists(edits.replacements, name) }

    /// Whether a field of the message goes, for either reason.
    public func drops(_ edits: HeaderEdits, _ name: UnsafeRawBufferPointer) -> Bool { unsafe removes(edits, name) || replaces(edits, name) }

    public func drops(_ edits: HeaderEdits, _ name: StaticString) -> Bool {
        unsafe drops(edits, UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }

    private func lists(_ range: TableRange, _ name: UnsafeRawBufferPointer) -> Bool {
        for index in range.indices where unsafe ASCII.equalIgnoringCase(name, bytes(fieldTexts[index].name)) { return true }
        return false
    }

    /// The n-th field to add, n < `additionCount`.
    public func additionCount(_ edits: HeaderEdits) -> Int { Int(edits.additions.count) }

    public func addition(_ edits: HeaderEdits, _ index: Int) -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        let field = unsafe fieldTexts[Int(edits.additions.start) + index]
        return unsafe (bytes(field.name), bytes(field.value))
    }

    // MARK: CORS

    /// Whether the policy allows an `Origin`.
    public func allows(cors index: Int32, origin: UnsafeRawBufferPointer) -> Bool {
        let entry = unsafe corsTable[Int(index)]
        for place in entry.origins.indices where unsafe test(originMatchers[place], origin) { return true }
        return false
    }

    /// Calls `add` with each field that a response to an allowed origin carries. The values last as long as the call.
    public func corsFields(
        _ index: Int32, isPreflight: Bool, origin: UnsafeRawBufferPointer, _ add: (StaticString, UnsafeRawBufferPointer) -> Void
    ) {
        let entry = unsafe corsTable[Int(index)]
        unsafe add("access-control-allow-origin", origin)
        if entry.exposed.count > 0 { unsafe add("access-control-expose-headers", bytes(entry.exposed)) }
        let yes: StaticString = "true"
        if entry.allowsCredentials { unsafe add("access-control-allow-credentials", UnsafeRawBufferPointer(start: yes.utf8Start, count: 4)) }
        if isPreflight {
            if entry.methods.count > 0 { unsafe add("access-control-allow-methods", bytes(entry.methods)) }
            if entry.headers.count > 0 { unsafe add("access-control-allow-headers", bytes(entry.headers)) }
            if entry.maxAge >= 0 {
                unsafe withUnsafeTemporaryAllocation(byteCount: 20, alignment: 8) { digits in
                    guard let base = unsafe digits.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
                    let count = unsafe writeDecimal(UInt64(clamping: entry.maxAge), to: base)
                    unsafe add("access-control-max-age", UnsafeRawBufferPointer(start: base, count: count))
                }
            }
        }
    }

    public func saysCredentials(cors index: Int32) -> Bool { unsafe corsTable[Int(index)].allowsCredentials }
    public func saysExposed(cors index: Int32) -> Bool { unsafe corsTable[Int(index)].exposed.count > 0 }

    /// `unmatchedPreflights: IGNORE`: a preflight from an origin that is not allowed is answered here, without the fields that would allow it.
    public func answersUnmatchedPreflight(_ index: Int32) -> Bool { unsafe corsTable[Int(index)].answersUnmatched }
}

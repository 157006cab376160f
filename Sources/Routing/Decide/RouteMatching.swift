internal import CRE2
public import HTTP
public import Primitives
internal import TelemetryModel

/// What routing looks at, besides the header fields. The pointers live as long as the request's bytes.
@unsafe
public struct RouteRequest {
    public var method: UnsafeRawBufferPointer
    /// Normalised, without the query.
    public var path: UnsafeRawBufferPointer
    /// With its question mark; empty without one.
    public var query: UnsafeRawBufferPointer
    /// Host and port as the client gave them.
    public var authority: UnsafeRawBufferPointer
    /// Its parts.
    public var host: Authority
    public var isHTTPS: Bool

    /// `host`: the parts of `authority` where they are known.
    public init(
        method: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer, query: UnsafeRawBufferPointer, authority: UnsafeRawBufferPointer,
        host: Authority? = nil, isHTTPS: Bool
    ) {
        unsafe self.method = method
        unsafe self.path = path
        unsafe self.query = query
        unsafe self.authority = authority
        // What is no authority names no host; the proxy has refused it before.
        unsafe self.host = unsafe host ?? Authority.parse(authority) ?? Authority(hostCount: 0, port: 0, count: 0)
        unsafe self.isHTTPS = isHTTPS
    }
}

/// Where a request goes.
public enum RouteDecision: Sendable, BitwiseCopyable {
    /// No domain or no rule matched: 404 NR.
    case notFound
    /// The rule names a host or subset that does not exist: 503 NC.
    case noCluster(RouteChoice)
    case cluster(UInt32, RouteChoice)
    case redirect(RouteChoice)
    case directResponse(RouteChoice)

    public var isNotFound: Bool { if case .notFound = self { true } else { false } }
}

/// The rule that took a request, and what of it did.
public struct RouteChoice: Sendable, BitwiseCopyable {
    public var route: UInt32
    /// Index of the destination drawn; meaningless without one.
    public var destination: UInt32 = 0
    /// Index of the match that held; -1 = the rule has none.
    public var match: Int32
}

/// Why a look-up found no virtual host.
private enum NoVirtualHost {
    static let unknownName: Int32 = -1
    static let unknownPort: Int32 = -2
}

extension RoutingTables {
    @inlinable @inline(__always)
    public func route(_ index: UInt32) -> RouteEntry { unsafe routes[Int(index)] }

    /// Decides the route of a request. `draw` chooses among weighted destinations.
    public func decide(
        listener listenerIndex: Int, _ request: borrowing RouteRequest, _ head: borrowing MessageHead, draw: inout RandomSource
    ) -> RouteDecision {
        guard let host = unsafe virtualHost(listenerIndex, request) else { return .notFound }
        let entry = unsafe virtualHosts[host]
        var taken = RouteChoice(route: 0, match: -2)
        var candidates = unsafe candidates(entry, path: request.path)
        while let index = unsafe next(&candidates) {
            guard let match = unsafe matches(routes[Int(index)], port: entry.port, request, head) else { continue }
            taken = RouteChoice(route: index, match: match)
            break
        }
        guard taken.match > -2 else { return .notFound }
        let route = unsafe routes[Int(taken.route)]
        taken.destination = route.destinations.start
        switch unsafe actionTable[Int(route.actions)].kind {
        case .redirect: return .redirect(taken)
        case .directResponse: return .directResponse(taken)
        case .forward: break
        }
        taken.destination = unsafe destination(route, draw: &draw)
        let cluster = unsafe destinations[Int(taken.destination)].cluster
        return cluster < 0 ? .noCluster(taken) : .cluster(UInt32(cluster), taken)
    }

    // MARK: Virtual host

    func virtualHost(_ listenerIndex: Int, _ request: borrowing RouteRequest) -> Int? {
        let listener = unsafe listener(listenerIndex)
        let authority = unsafe request.authority
        let host = unsafe request.host
        let hostCount = min(host.hostCount, Authority.hostBytesMax)
        var found = NoVirtualHost.unknownName
        if hostCount > 0 {
            unsafe withUnsafeTemporaryAllocation(byteCount: hostCount, alignment: 8) { lower in
                for index in 0..<hostCount { unsafe lower[index] = ASCII.lower(authority[index]) }
                // A name may be written with the root's dot.
                let count = unsafe hostCount > 1 && lower[hostCount - 1] == UInt8(ascii: ".") ? hostCount - 1 : hostCount
                unsafe found = lookup(listener, UnsafeRawBufferPointer(rebasing: lower[..<count]), host.port)
            }
        }
        // Of a name that is known, a port that it lacks is nobody's: the rules for all other names are not the ones it was given.
        if found == NoVirtualHost.unknownName { found = listener.fallback }
        return found < 0 ? nil : Int(found)
    }

    private func lookup(_ listener: ListenerEntry, _ host: UnsafeRawBufferPointer, _ port: UInt16) -> Int32 {
        let hash = unsafe ByteHash.hash(host, seed: ByteHash.seed)
        var slot = UInt32(truncatingIfNeeded: hash) & listener.domainMask
        while true {
            let entry = unsafe domains[Int(listener.domainStart + slot)]
            if entry.name.count == 0 { break }
            if entry.hash == hash, unsafe equal(bytes(entry.name), host) { return unsafe choosePort(entry.ports, port) }
            slot = (slot + 1) & listener.domainMask
        }
        for index in listener.wildcards.indices {
            let entry = unsafe wildcards[index]
            let suffix = unsafe bytes(entry.suffix)
            guard host.count > suffix.count,
                unsafe equal(UnsafeRawBufferPointer(rebasing: host[(host.count - suffix.count)...]), suffix)
            else { continue }
            return unsafe choosePort(entry.ports, port)
        }
        return NoVirtualHost.unknownName
    }

    /// The virtual host of a domain for the port that the client named; without one, port 80's, else the domain's first.
    private func choosePort(_ range: TableRange, _ port: UInt16) -> Int32 {
        let wanted = port == 0 ? 80 : port
        for index in range.indices {
            let entry = unsafe ports[index]
            if entry.port == wanted || entry.port == 0 { return entry.virtualHost }
        }
        return unsafe port == 0 && range.count > 0 ? ports[Int(range.start)].virtualHost : NoVirtualHost.unknownPort
    }

    // MARK: Match

    private func matches(
        _ route: RouteEntry, port: UInt16, _ request: borrowing RouteRequest, _ head: borrowing MessageHead
    ) -> Int32? {
        if route.matches.count == 0 { return -1 }
        for index in route.matches.indices where unsafe matches(matches + index, port: port, request, head) { return Int32(clamping: index) }
        return nil
    }

    func matches(
        _ match: UnsafePointer<MatchEntry>, port: UInt16, _ request: borrowing RouteRequest, _ head: borrowing MessageHead
    ) -> Bool {
        if unsafe match.pointee.port != 0 && match.pointee.port != port { return false }
        guard unsafe test(match.pointee.path, request.path), unsafe test(match.pointee.method, request.method),
            unsafe test(match.pointee.authority, request.authority)
        else { return false }
        if unsafe match.pointee.scheme.kind != .any {
            let scheme: StaticString = unsafe request.isHTTPS ? "https" : "http"
            guard unsafe test(match.pointee.scheme, UnsafeRawBufferPointer(start: scheme.utf8Start, count: scheme.utf8CodeUnitCount)) else { return false }
        }
        for index in unsafe match.pointee.headers.indices where unsafe !matches(header: named[index], request, head) { return false }
        for index in unsafe match.pointee.queryParameters.indices where unsafe !matches(parameter: named[index], request.query) {
            return false
        }
        return true
    }

    func matches(header: NamedMatcher, _ request: borrowing RouteRequest, _ head: borrowing MessageHead) -> Bool {
        let name = unsafe bytes(header.name)
        var isThere = false
        // Pseudo-headers are matched under their HTTP/2 names, as in Envoy.
        if unsafe name[0] == UInt8(ascii: ":") {
            if unsafe ASCII.equal(name, ":path") {
                return unsafe testTarget(header.matcher, request) != header.isNegated
            } else if unsafe ASCII.equal(name, ":method") {
                return unsafe test(header.matcher, request.method) != header.isNegated
            } else if unsafe ASCII.equal(name, ":authority") {
                return unsafe test(header.matcher, request.authority) != header.isNegated
            }
            return header.isNegated
        }
        // Of a repeated field any value will do, as in Envoy 1.40.
        for index in 0..<head.fieldCount where unsafe head.field(index).nameCount == UInt16(truncatingIfNeeded: name.count) {
            guard unsafe ASCII.equalIgnoringCase(head.name(at: index), name) else { continue }
            if unsafe test(header.matcher, head.value(at: index)) { return !header.isNegated }
            isThere = true
        }
        // `withoutHeaders` reads a field that is not there as an empty one (istiod's treat_missing_header_as_empty), but where it asks for presence.
        if !isThere, header.isNegated, header.matcher.kind != .present, header.matcher.kind != .any {
            return unsafe !test(header.matcher, UnsafeRawBufferPointer(start: nil, count: 0))
        }
        return header.isNegated
    }

    /// Matches the first parameter of that name; values are compared as sent, without decoding, as Envoy does.
    func matches(parameter: NamedMatcher, _ query: UnsafeRawBufferPointer) -> Bool {
        let name = unsafe bytes(parameter.name)
        var start = 1
        while start <= query.count {
            var end = start
            while end < query.count, unsafe query[end] != UInt8(ascii: "&") { end += 1 }
            var mark = start
            while mark < end, unsafe query[mark] != UInt8(ascii: "=") { mark += 1 }
            if unsafe equal(UnsafeRawBufferPointer(rebasing: query[start..<mark]), name) {
                let value = min(mark + 1, end)
                return unsafe test(parameter.matcher, UnsafeRawBufferPointer(rebasing: query[value..<end]))
            }
            start = end + 1
        }
        return false
    }

    /// `:path` is path and query, as in Envoy. Both stand next to each other unless the path was normalised.
    private func testTarget(_ matcher: StringMatcher, _ request: borrowing RouteRequest) -> Bool {
        guard unsafe request.query.count > 0 else { return unsafe test(matcher, request.path) }
        let path = unsafe request.path
        let query = unsafe request.query
        return unsafe withUnsafeTemporaryAllocation(byteCount: path.count + query.count, alignment: 1) { joined in
            unsafe joined.copyMemory(from: path)
            unsafe UnsafeMutableRawBufferPointer(rebasing: joined[path.count...]).copyMemory(from: query)
            return unsafe test(matcher, UnsafeRawBufferPointer(joined))
        }
    }

    func test(_ matcher: StringMatcher, _ value: UnsafeRawBufferPointer) -> Bool {
        switch matcher.kind {
        case .any, .present:
            return true
        case .exact:
            let text = unsafe bytes(matcher.text)
            return unsafe matcher.ignoresCase ? ASCII.equalIgnoringCase(value, text) : equal(value, text)
        case .prefix:
            let text = unsafe bytes(matcher.text)
            guard value.count >= text.count else { return false }
            let front = unsafe UnsafeRawBufferPointer(rebasing: value[..<text.count])
            return unsafe matcher.ignoresCase ? ASCII.equalIgnoringCase(front, text) : equal(front, text)
        case .regex:
            return unsafe skein_re2_full_match(regexes[Int(matcher.regex)], value.baseAddress?.assumingMemoryBound(to: CChar.self), value.count)
        }
    }

    @inline(__always)
    private func equal(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        for index in 0..<left.count where unsafe left[index] != right[index] { return false }
        return true
    }

    // MARK: Destination

    /// A draw in 0 ..< total, walked along the cumulative weights (semantics 2.6).
    private func destination(_ route: RouteEntry, draw: inout RandomSource) -> UInt32 {
        unsafe destination(route.destinations, totalWeight: route.totalWeight, draw: &draw)
    }

    func destination(_ range: TableRange, totalWeight: UInt32, draw: inout RandomSource) -> UInt32 {
        if range.count == 1 { return range.start }
        var rest = draw.below(totalWeight)
        for index in range.indices {
            let entry = unsafe destinations[index]
            if rest < entry.weight { return UInt32(clamping: index) }
            rest -= entry.weight
        }
        return range.start
    }
}

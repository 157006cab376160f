internal import HTTP
internal import Matching
internal import Primitives

/// The tables of an `AuthorizationSet` by one pointer, as the decisions read them; a copy counts no reference. Good as long as the set.
@safe
struct AuthorizationView: BitwiseCopyable {
    private let address: UnsafePointer<AuthorizationRows>

    init(_ address: UnsafePointer<AuthorizationRows>) { unsafe self.address = unsafe address }

    /// Read in place.
    var rows: AuthorizationRows {
        @inline(__always)
        unsafeAddress { unsafe address }
    }
}

extension AuthorizationView {
    /// Whether a clause holds. `isStrict`: of a rule that lets in, which must not match by accident: of a header on several lines every one
    /// must be as wanted, and what is not wanted must be nowhere. Of a rule that refuses it is the other way round (semantics 2.8).
    func holds(_ index: Int, _ request: AuthorizationRequest, _ head: borrowing MessageHead, isStrict: Bool) -> Bool {
        let clause = rows.clauses.slot(index)
        let isNegated = clause.entry.isNegated
        return isOneOf(clause.entry, request, head, isStrict: isStrict != isNegated) != isNegated
    }

    /// Whether what the clause looks at is one of its values.
    private func isOneOf(
        _ clause: ClauseEntry, _ request: AuthorizationRequest, _ head: borrowing MessageHead, isStrict: Bool
    ) -> Bool {
        switch clause.subject {
        case .principal: isOneOf(clause.values, request.peer.principal)
        case .namespace: isOneOf(clause.values, request.peer.namespace)
        case .trustDomain: isOneOf(clause.values, request.peer.trustDomain)
        case .serviceAccount: isAccount(clause.values, request.peer)
        case .sourceAddress: isWithin(clause.values, request.source)
        case .remoteAddress: isWithin(clause.values, remoteAddress(request, head))
        case .destinationAddress: isWithin(clause.values, request.destination)
        case .destinationPort: isPort(clause.values, request.destinationPort)
        case .serverName: isOneOf(clause.values, request.peer.serverName)
        case .host: request.withAuthority { isOneOf(clause.values, $0) }
        case .method: isOneOf(clause.values, request.method)
        case .path: isPath(clause.values, request.path)
        case .target: isOneOf(clause.values, request.target)
        case .scheme: isOneOf(clause.values, LentBytes(request.isHTTPS ? "https" : "http"))
        case .header: isHeader(clause, head, isStrict: isStrict)
        case .tokenPrincipal: isOneOf(clause.values, request.claims.principal)
        case .claim: isClaim(clause, request.claims)
        case .nothing: false
        }
    }

    /// What is empty is not there.
    private func isOneOf(_ values: TableRange, _ text: LentBytes) -> Bool {
        guard !text.isEmpty else { return false }
        for index in values.indices where rows.matchers.test(rows.strings[index], text) { return true }
        return false
    }

    private func isAccount(_ values: TableRange, _ peer: PeerView) -> Bool {
        guard !peer.account.isEmpty else { return false }
        for index in values.indices {
            let entry = rows.accounts[index]
            if rows.text.bytes(entry.account) == peer.account, rows.text.bytes(entry.namespace) == peer.namespace { return true }
        }
        return false
    }

    private func isWithin(_ values: TableRange, _ address: SocketEndpoint) -> Bool {
        let address = address.unmapped
        guard address.family == .ipv4 || address.family == .ipv6 else { return false }
        for index in values.indices where rows.addresses[index].contains(address) { return true }
        return false
    }

    private func isPort(_ values: TableRange, _ port: UInt16) -> Bool {
        for index in values.indices where rows.ports[index] == port { return true }
        return false
    }

    private func isPath(_ values: TableRange, _ path: LentBytes) -> Bool {
        guard !path.isEmpty else { return false }
        for index in values.indices {
            let entry = rows.paths[index]
            if let template = entry.template {
                if rows.matchers.test(template, path) { return true }
            } else if rows.matchers.test(entry.matcher, path) {
                return true
            }
        }
        return false
    }

    /// One of several values is enough, whatever the rule is for: nobody but the issuer can add one.
    private func isClaim(_ clause: ClauseEntry, _ claims: ClaimsView) -> Bool {
        guard claims.isThere else { return false }
        let path = rows.text.bytes(clause.name)
        for index in clause.values.indices where rows.matchers.test(claim: path, rows.strings[index], claims) { return true }
        return false
    }

    /// The client as the proxies before this one tell it: of a workload the last address of `X-Forwarded-For`, which the nearest of them
    /// wrote (Envoy, `use_remote_address: false`, `xff_num_trusted_hops: 0`, as Istio's sidecars); of a gateway the one that the outermost
    /// of its trusted proxies wrote (`use_remote_address: true`). Without a legible one, whom the connection came from.
    func remoteAddress(_ request: AuthorizationRequest, _ head: borrowing MessageHead) -> SocketEndpoint {
        let hops = request.trustsForwardedFor ? 1 : rows.trustedProxies
        guard request.isHTTP, hops > 0, let address = Self.forwarded(head, fromEnd: hops) else { return request.source }
        return SocketEndpoint(wireAddress: address) ?? request.source
    }

    /// An address of `X-Forwarded-For`, its lines read as one list; 1 = the last. Nil = there are fewer.
    private static func forwarded(_ head: borrowing MessageHead, fromEnd number: UInt32) -> LentBytes? {
        guard head.has(.forwardedFor) else { return nil }
        var left = number
        for index in stride(from: head.fieldCount - 1, through: 0, by: -1) where head.fieldName(at: index) == .forwardedFor {
            let value = head.bytes(at: index)
            var end = value.count
            while true {
                var start = end
                while start > 0, value[start - 1] != UInt8(ascii: ",") { start -= 1 }
                left -= 1
                if left == 0 { return trimmed(value[start..<end]) }
                guard start > 0 else { break }
                end = start - 1
            }
        }
        return nil
    }

    private static func trimmed(_ bytes: LentBytes) -> LentBytes { unsafe LentBytes(ASCII.trim(bytes.buffer)) }

    // MARK: Headers

    private func isHeader(_ clause: ClauseEntry, _ head: borrowing MessageHead, isStrict: Bool) -> Bool {
        let name = rows.text.bytes(clause.name)
        for index in clause.values.indices {
            let wanted = rows.strings[index]
            if isStrict ? isEveryLine(name, wanted, head) : isAnyLine(name, wanted, head) { return true }
        }
        return false
    }

    /// There is a line, and all lines are as wanted.
    private func isEveryLine(_ name: LentBytes, _ wanted: StringMatcher, _ head: borrowing MessageHead) -> Bool {
        var isThere = false
        for index in 0..<head.fieldCount where head.isNamed(name, at: index) {
            guard rows.matchers.test(wanted, head.bytes(at: index)) else { return false }
            isThere = true
        }
        return isThere
    }

    /// A line is as wanted, or a member of its list, or all lines read as one.
    private func isAnyLine(_ name: LentBytes, _ wanted: StringMatcher, _ head: borrowing MessageHead) -> Bool {
        var lines = 0
        var bytes = 0
        for index in 0..<head.fieldCount where head.isNamed(name, at: index) {
            let value = head.bytes(at: index)
            if rows.matchers.test(wanted, value) || isMember(of: value, wanted) { return true }
            lines += 1
            bytes += value.count + 1
        }
        return lines > 1 && isJoined(name, wanted, bytes, head)
    }

    private func isMember(of list: LentBytes, _ wanted: StringMatcher) -> Bool {
        var start = 0
        var end = list.index(of: UInt8(ascii: ","), from: 0)
        guard end < list.count else { return false }
        while true {
            if rows.matchers.test(wanted, Self.trimmed(list[start..<end])) { return true }
            guard end < list.count else { return false }
            start = end + 1
            end = list.index(of: UInt8(ascii: ","), from: start)
        }
    }

    /// `bytes`: of all lines with a comma behind each; bounded by `HTTPLimits.headBytesMax`.
    private func isJoined(_ name: LentBytes, _ wanted: StringMatcher, _ bytes: Int, _ head: borrowing MessageHead) -> Bool {
        unsafe withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 1) { joined in
            var count = 0
            for index in 0..<head.fieldCount where head.isNamed(name, at: index) {
                let value = head.bytes(at: index)
                unsafe UnsafeMutableRawBufferPointer(rebasing: joined[count...]).copyMemory(from: value.buffer)
                unsafe joined[count + value.count] = UInt8(ascii: ",")
                count += value.count + 1
            }
            return unsafe rows.matchers.test(wanted, LentBytes(UnsafeRawBufferPointer(rebasing: joined[..<(count - 1)])))
        }
    }
}

import HTTP
import Matching
import Policy
import Primitives

/// A request or connection as a test writes it.
struct AuthorizationQuestion: CustomStringConvertible {
    /// A SPIFFE ID without its scheme; nil = plaintext.
    var principal: String?
    var serverName = ""
    var source = "127.0.0.1"
    var destination = "10.9.9.9"
    var port: UInt16 = 80
    var isHTTP = true
    var isEdge = false
    var method = "GET"
    var host = "web.local"
    /// Normalised, without a query.
    var path = "/"
    var query = ""
    var fields: [(name: String, value: String)] = []
    /// Issuer and subject of its token; nil = it has none.
    var token: (issuer: String, subject: String)?
    /// What the token claims: names with a dot between them, and a text.
    var claims: [(path: String, value: String)] = []

    var description: String {
        let who = principal ?? "nobody"
        guard isHTTP else { return "TCP from \(who) at \(source) to \(port), SNI \(serverName)" }
        let owner = token.map { "\($0)" } ?? "none"
        return "\(method) \(host)\(path)\(query) from \(who) at \(source) to \(port), SNI \(serverName), \(fields), "
            + "token \(owner) \(claims)"
    }

    /// Asks a set; its answer in words: `allowed`, `denied by NAME`, with what policies that are tried out would have done.
    func ask<Answer>(_ body: (AuthorizationRequest, borrowing MessageHead) -> Answer) -> Answer {
        var facts = PeerFacts()
        facts.note(identity: principal.map { "spiffe://" + $0 }, serverName: serverName)
        var request = AuthorizationRequest(
            peer: facts.view, source: SocketEndpoint(address: source, port: 1) ?? SocketEndpoint(),
            destination: SocketEndpoint(address: destination, port: port) ?? SocketEndpoint(), destinationPort: port)
        request.isHTTP = isHTTP
        request.trustsForwardedFor = !isEdge
        var claimed = ClaimsBuffer()
        if let token {
            Self.lend(token.issuer) { issuer in Self.lend(token.subject) { claimed.note(issuer: issuer, subject: $0) } }
            for (path, value) in claims {
                Self.lend(path.replacing(".", with: "\0")) { path in
                    Self.lend(value) { claimed.add(.string, isListed: true, path: path, value: $0) }
                }
            }
            if isHTTP { request.claims = unsafe claimed.view }
        }
        let lines = fields.map { "\($0.name): \($0.value)\r\n" }.joined()
        let text = Array("\(method) / HTTP/1.1\r\nHost: x\r\n\(lines)\r\n".utf8)
        let parts = [method, host, path, path + query].map { Array($0.utf8) }
        var head = MessageHead()
        var scan = HeadScan()
        let answer = unsafe text.withUnsafeBytes { bytes in
            precondition(unsafe HeadParser.parseRequest(bytes, scan: &scan, limits: HTTPLimits(), into: &head) == .complete)
            return unsafe parts[0].withUnsafeBytes { method in
                unsafe parts[1].withUnsafeBytes { host in
                    unsafe parts[2].withUnsafeBytes { path in
                        unsafe parts[3].withUnsafeBytes { target in
                            unsafe request.method = LentBytes(method)
                            unsafe request.authority = LentBytes(host)
                            unsafe request.path = LentBytes(path)
                            unsafe request.target = LentBytes(target)
                            return body(request, head)
                        }
                    }
                }
            }
        }
        // Views of the claims end here.
        claimed.clear()
        return answer
    }

    private static func lend(_ text: String, _ body: (LentBytes) -> Void) {
        unsafe Array(text.utf8).withUnsafeBytes { unsafe body(LentBytes($0)) }
    }
}

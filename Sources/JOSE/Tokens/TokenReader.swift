public import Primitives

/// Reads tokens in the compact form (RFC 7515 7.1), one after the other, in memory that is used again: nothing is allocated once warm.
///
/// One for each thread. Everything that it lends is good until the next `read`. Reading proves nothing: `SignatureVerifier` does.
public struct TokenReader: ~Copyable {
    private let limits: JOSELimits
    private var token = ByteBuffer()
    /// Where the dots are in `token`.
    private var dots = (first: 0, second: 0)
    private var signatureBytes = ByteBuffer()
    private var header = JSONDocument()
    private var payload = JSONDocument()
    private var flattened = FlattenedClaims()
    private var keyIDMember: Int?
    private var registered = RegisteredClaims()

    /// How it says that it is signed; nil before a token was read, and after a fault.
    public private(set) var algorithm: SigningAlgorithm?

    public init(limits: JOSELimits = JOSELimits()) { self.limits = limits }

    /// Reads a token, which is copied. After a fault nothing of it is left: no claim, no algorithm.
    ///
    /// Costs time in proportion to the token, and nothing for one that is longer than `limits.tokenBytes`.
    public mutating func read(_ token: LentBytes) -> TokenFault? {
        forget()
        do {
            try readSections(of: token)
            return nil
        } catch {
            forget()
            return error
        }
    }

    /// As above, for the edge.
    public mutating func read(text: String) -> TokenFault? { Array(text.utf8).withLentBytes { read($0) } }

    // MARK: - What was read

    /// Whether a token was read whole.
    public var isRead: Bool { algorithm != nil }
    /// `kid`; nil = the header has none.
    public var keyID: LentBytes? { keyIDMember.flatMap { header.string($0) } }
    /// `iss`; nil = the payload has none.
    public var issuer: LentBytes? { registered.issuer.flatMap { payload.string($0) } }
    /// `sub`.
    public var subject: LentBytes? { registered.subject.flatMap { payload.string($0) } }
    /// `azp` (OpenID Connect Core 2).
    public var authorizedParty: LentBytes? { registered.authorizedParty.flatMap { payload.string($0) } }
    /// `exp`, seconds since 1970. Rounded down, and what is beyond Int64 is its nearest value; so are the other times.
    public var expiry: Int64? { registered.expiry }
    /// `nbf`, seconds since 1970.
    public var notBefore: Int64? { registered.notBefore }
    /// `iat`, seconds since 1970.
    public var issuedAt: Int64? { registered.issuedAt }

    /// How many `aud` names; 0 = the payload has none.
    public var audienceCount: Int {
        guard let index = registered.audience else { return 0 }
        return payload.values[index].kind == .list ? Int(payload.values[index].count) : 1
    }

    /// One of `aud`, in its order. `place` is below `audienceCount`.
    public func audience(_ place: Int) -> LentBytes {
        precondition(place >= 0 && place < audienceCount, "an audience that the token does not name")
        guard let index = registered.audience else { return LentBytes() }
        // The elements are strings, one value each.
        return payload.string(payload.values[index].kind == .list ? index + 1 + place : index) ?? LentBytes()
    }

    /// Whether `aud` names `audience`, byte for byte.
    public func isFor(_ audience: LentBytes) -> Bool {
        for place in 0..<audienceCount where self.audience(place) == audience { return true }
        return false
    }

    /// Whether its time is wrong (RFC 7519 4.1.4, 4.1.5). `now` is in seconds since 1970; `skew` is how far the issuer's clock may be off.
    public func timeFault(now: Int64, skew: Int64) -> TokenFault? {
        if let expiry, now >= Self.sum(expiry, skew) { return .expired }
        if let notBefore, notBefore > Self.sum(now, skew) { return .notYetValid }
        return nil
    }

    /// The decoded header, JSON.
    public var headerText: LentBytes { unsafe LentBytes(header.text.readable) }
    /// The decoded payload, JSON.
    public var payloadText: LentBytes { unsafe LentBytes(payload.text.readable) }
    /// The payload in base64url, as it was sent.
    public var payloadSection: LentBytes { isRead ? section(dots.first + 1, dots.second) : LentBytes() }
    /// What is signed: header, dot and payload as they were sent (RFC 7515 5.2).
    public var signedText: LentBytes { isRead ? section(0, dots.second) : LentBytes() }
    public var signature: LentBytes { unsafe LentBytes(signatureBytes.readable) }

    // MARK: - All claims

    /// How many flattened claims there are. See `claim`.
    public var claimCount: Int { flattened.claims.count }
    /// Claims beyond `JOSELimits.claims`.
    public var claimsLeftOut: Int { flattened.leftOut }
    /// Objects and lists inside of lists: no claim is made of them.
    public var nestedInListsLeftOut: Int { flattened.nestedInLists }

    /// One claim in flattened form: each string, number, true, false and null in an object, whatever objects are around it, and each
    /// element of a list of such. In the order of the payload. `place` is below `claimCount`.
    public func claim(_ place: Int) -> Claim {
        let found = flattened.claims[place]
        let value = payload.values[Int(found.value)]
        let (kind, text): (Claim.Kind, LentBytes) =
            switch value.kind {
            case .string: (.string, payload.bytes(value.text))
            case .number: (.number, payload.bytes(value.text))
            case .isTrue: (.isTrue, LentBytes("true"))
            case .isFalse: (.isFalse, LentBytes("false"))
            case .null, .object, .list: (.null, LentBytes("null"))
            }
        return Claim(
            kind: kind, value: text, isListElement: found.isListElement,
            pathCount: Int(value.depth) - (found.isListElement ? 1 : 0), index: Int(found.value))
    }

    /// One of the names that lead to a claim, the outermost first: `["realm_access", "roles"]`. `place` is below `claim.pathCount`.
    public func pathName(_ place: Int, of claim: Claim) -> LentBytes {
        precondition(place >= 0 && place < claim.pathCount, "a name outside of a claim's path")
        var index = claim.index
        while payload.values[index].depth > place + 1 { index = Int(payload.values[index].parent) }
        return payload.name(index)
    }

    // MARK: - Reading

    private mutating func forget() {
        algorithm = nil
        keyIDMember = nil
        registered = RegisteredClaims()
        token.clear()
        dots = (0, 0)
        signatureBytes.clear()
        header.clear()
        payload.clear()
        flattened.clear()
    }

    private mutating func readSections(of token: LentBytes) throws(TokenFault) {
        try split(token)
        let stated = try readHeader()
        try readPayload()
        guard Base64URL.decode(section(dots.second + 1, self.token.count), into: &signatureBytes) else { throw .signatureNotBase64 }
        algorithm = stated
    }

    private mutating func split(_ token: LentBytes) throws(TokenFault) {
        if token.count > limits.tokenBytes { throw .tooLong }
        let first = token.index(of: UInt8(ascii: "."), from: 0)
        guard first < token.count else { throw .notThreeSections }
        let second = token.index(of: UInt8(ascii: "."), from: first + 1)
        guard second < token.count, token.index(of: UInt8(ascii: "."), from: second + 1) == token.count
        else { throw .notThreeSections }
        // A signature of no bytes is `none`, whatever the header says.
        guard first > 0, second > first + 1, second + 1 < token.count else { throw .notThreeSections }
        self.token.append(token)
        dots = (first, second)
    }

    private mutating func readHeader() throws(TokenFault) -> SigningAlgorithm {
        guard Base64URL.decode(section(0, dots.first), into: &header.text) else { throw .headerNotBase64 }
        if let fault = JSONParser.parseObject(&header, limits.header) { throw .headerNotJSON(fault) }
        if header.member("enc") != nil || header.member("zip") != nil { throw .encrypted }
        if header.member("crit") != nil { throw .criticalExtension }
        if let index = header.member("b64"), header.values[index].kind != .isTrue { throw .unencodedPayload }
        guard let name = header.member("alg").flatMap({ header.string($0) }) else { throw .algorithmMissing }
        guard let algorithm = SigningAlgorithm(name) else {
            throw name.equalsIgnoringCase(LentBytes("none")) ? .algorithmNone : .algorithmUnsupported
        }
        if let index = header.member("kid") {
            guard let keyID = header.string(index) else { throw .keyIDNotString }
            if keyID.count > limits.keyIDBytes { throw .keyIDTooLong }
            keyIDMember = index
        }
        return algorithm
    }

    private mutating func readPayload() throws(TokenFault) {
        guard Base64URL.decode(section(dots.first + 1, dots.second), into: &payload.text) else { throw .payloadNotBase64 }
        if let fault = JSONParser.parseObject(&payload, limits.payload) { throw .payloadNotJSON(fault) }
        try registered.read(payload)
        flattened.read(payload, max: limits.claims)
    }

    private func section(_ start: Int, _ end: Int) -> LentBytes { unsafe LentBytes(token.readable)[start..<end] }

    private static func sum(_ left: Int64, _ right: Int64) -> Int64 {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? (right < 0 ? .min : .max) : sum
    }
}

internal import Primitives

/// The claims whose types RFC 7519 4.1 prescribes, and `azp`: where they are in the payload, and the times' values.
struct RegisteredClaims {
    private(set) var issuer: Int?
    private(set) var subject: Int?
    private(set) var audience: Int?
    private(set) var authorizedParty: Int?
    private(set) var expiry: Int64?
    private(set) var notBefore: Int64?
    private(set) var issuedAt: Int64?

    mutating func read(_ payload: borrowing JSONDocument) throws(TokenFault) {
        issuer = try Self.string("iss", .issuerNotString, payload)
        subject = try Self.string("sub", .subjectNotString, payload)
        authorizedParty = try Self.string("azp", .authorizedPartyNotString, payload)
        _ = try Self.string("jti", .tokenIDNotString, payload)
        expiry = try Self.time("exp", .expiryNotNumber, payload)
        notBefore = try Self.time("nbf", .notBeforeNotNumber, payload)
        issuedAt = try Self.time("iat", .issuedAtNotNumber, payload)
        audience = payload.member("aud")
        if let audience, !Self.isStringOrStrings(audience, payload) { throw .audienceNotStrings }
    }

    private static func string(_ name: StaticString, _ fault: TokenFault, _ payload: borrowing JSONDocument) throws(TokenFault) -> Int? {
        guard let index = payload.member(name) else { return nil }
        guard payload.values[index].kind == .string else { throw fault }
        return index
    }

    private static func time(_ name: StaticString, _ fault: TokenFault, _ payload: borrowing JSONDocument) throws(TokenFault) -> Int64? {
        guard let index = payload.member(name) else { return nil }
        guard payload.values[index].kind == .number else { throw fault }
        return NumericDate.seconds(payload.bytes(payload.values[index].text))
    }

    private static func isStringOrStrings(_ index: Int, _ payload: borrowing JSONDocument) -> Bool {
        if payload.values[index].kind == .string { return true }
        guard payload.values[index].kind == .list else { return false }
        for element in index + 1..<Int(payload.values[index].next) where payload.values[element].kind != .string { return false }
        return true
    }
}

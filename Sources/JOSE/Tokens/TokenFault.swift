/// Why a token is refused. `TokenReader`, `SignatureVerifier` and whoever knows the issuers each find some of them.
public enum TokenFault: Error, Sendable, Hashable {
    case missing, multipleTokens
    case tooLong, notThreeSections
    case headerNotBase64, headerNotJSON(JSONFault)
    /// `alg` is not there or no string.
    case algorithmMissing
    case algorithmUnsupported
    /// `alg` is `none`, in whatever case: not signed.
    case algorithmNone
    case keyIDNotString, keyIDTooLong
    /// `crit` (RFC 7515 4.1.11): we understand no extension.
    case criticalExtension
    /// `b64` other than true (RFC 7797).
    case unencodedPayload
    /// `enc` or `zip`: a JWE.
    case encrypted
    case payloadNotBase64, payloadNotJSON(JSONFault)
    case issuerNotString, subjectNotString, audienceNotStrings, tokenIDNotString, authorizedPartyNotString
    case expiryNotNumber, notBeforeNotNumber, issuedAtNotNumber
    case signatureNotBase64
    case expired, notYetValid
    case unknownIssuer, audienceNotAllowed
    /// No key of the set has the token's `kid`, or none admits its algorithm.
    case noMatchingKey
    case badSignature
    /// The issuer's key set could not be fetched, and there is none from before.
    case keySetUnavailable

    /// The words of Envoy's jwt_authn filter for the same case, which go into the answer's body and the response details. Where Envoy has
    /// no such case, those of the nearest.
    public var envoyText: StaticString {
        switch self {
        case .missing: "Jwt is missing"
        case .multipleTokens: "Found multiple Jwt tokens"
        case .tooLong, .notThreeSections: "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
        case .headerNotBase64: "Jwt header is an invalid Base64url encoded"
        case .headerNotJSON, .criticalExtension, .unencodedPayload, .encrypted: "Jwt header is an invalid JSON"
        case .algorithmMissing: "Jwt header [alg] field is required and must be a string"
        case .algorithmUnsupported, .algorithmNone: "Jwt header [alg] is not supported"
        case .keyIDNotString, .keyIDTooLong: "Jwt header [kid] field is not a string"
        case .payloadNotBase64: "Jwt payload is an invalid Base64url encoded"
        case .payloadNotJSON, .authorizedPartyNotString: "Jwt payload is an invalid JSON"
        case .issuerNotString: "Jwt payload [iss] field is not a string"
        case .subjectNotString: "Jwt payload [sub] field is not a string"
        case .audienceNotStrings: "Jwt payload [aud] field is not a string or string list"
        case .tokenIDNotString: "Jwt payload [jti] field is not a string"
        case .expiryNotNumber: "Jwt payload [exp] field is not an integer"
        case .notBeforeNotNumber: "Jwt payload [nbf] field is not an integer"
        case .issuedAtNotNumber: "Jwt payload [iat] field is not an integer"
        case .signatureNotBase64: "Jwt signature is an invalid Base64url encoded"
        case .expired: "Jwt is expired"
        case .notYetValid: "Jwt not yet valid"
        case .unknownIssuer: "Jwt issuer is not configured"
        case .audienceNotAllowed: "Audiences in Jwt are not allowed"
        case .noMatchingKey: "Jwks doesn't have key to match kid or alg from Jwt"
        case .badSignature: "Jwt verification fails"
        case .keySetUnavailable: "Jwks remote fetch is failed"
        }
    }
}

extension TokenFault: CustomStringConvertible {
    /// For logs and people: `envoyText`, and more where that is not the whole reason. Nothing of the token is in it.
    public var description: String {
        let reason: String? =
            switch self {
            case .tooLong: "it is too long"
            case .headerNotJSON(let fault), .payloadNotJSON(let fault): fault.description
            case .algorithmNone: "it is not signed: [alg] is none"
            case .keyIDTooLong: "[kid] is too long"
            case .criticalExtension: "[crit] asks for extensions, and none is supported"
            case .unencodedPayload: "[b64] is not true"
            case .encrypted: "[enc] or [zip]: an encrypted token, and only signed ones are supported"
            case .authorizedPartyNotString: "[azp] is not a string"
            default: nil
            }
        return reason.map { "\(envoyText): \($0)" } ?? envoyText.description
    }
}

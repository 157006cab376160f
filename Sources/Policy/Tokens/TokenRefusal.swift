public import JOSE
internal import Primitives
internal import TelemetryModel

/// Why a request is refused for its token: a number for each text that Envoy's jwt_authn filter has (semantics 2.2).
public struct TokenRefusal: Hashable, Sendable, BitwiseCopyable {
    let index: UInt8

    /// One fault for each text.
    private static let faults: [TokenFault] = [
        .missing, .multipleTokens, .notThreeSections, .headerNotBase64, .encrypted, .algorithmMissing, .algorithmNone, .keyIDNotString,
        .payloadNotBase64, .authorizedPartyNotString, .issuerNotString, .subjectNotString, .audienceNotStrings, .tokenIDNotString,
        .expiryNotNumber, .notBeforeNotNumber, .issuedAtNotNumber, .signatureNotBase64, .expired, .notYetValid, .unknownIssuer,
        .audienceNotAllowed, .noMatchingKey, .badSignature, .keySetUnavailable,
    ]
    static let count = faults.count

    /// What has no text of its own is a token that does not verify.
    public init(_ fault: TokenFault) {
        let text = LentBytes(fault.envoyText)
        let found = Self.faults.firstIndex { LentBytes($0.envoyText) == text } ?? Self.faults.firstIndex(of: .badSignature)
        index = UInt8(truncatingIfNeeded: found ?? 0)
    }

    private init(index: UInt8) { self.index = index }

    static var all: [TokenRefusal] { (0..<UInt8(truncatingIfNeeded: count)).map { TokenRefusal(index: $0) } }

    var fault: TokenFault { Self.faults[Int(index)] }

    /// The text, which is the body of the answer.
    public var text: StaticString { fault.envoyText }

    /// 401, but 403 for a token that is meant for somebody else, as Envoy answers.
    public var status: UInt16 { fault == .audienceNotAllowed ? 403 : 401 }

    /// There was no token, so none is said to be invalid (RFC 6750 section 3).
    public var isMissing: Bool { fault == .missing }
}

/// The names of all refusals, for records.
struct TokenFaultNames: BitwiseCopyable {
    private var names = InlineArray<32, NameID>(repeating: .none)

    init(_ catalogs: Catalogs) {
        for refusal in TokenRefusal.all {
            names[Int(refusal.index)] = catalogs.name(refusal.text.description.replacing(" ", with: "_"))
        }
    }

    subscript(refusal: TokenRefusal) -> NameID { names[Int(refusal.index)] }
}

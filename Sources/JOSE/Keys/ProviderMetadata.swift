internal import Primitives

/// What an issuer says of itself (OpenID Connect Discovery 1.0 section 3), as far as keys go.
public struct ProviderMetadata: Sendable {
    public let issuer: String
    /// `jwks_uri`.
    public let keySetURI: String

    /// Nil with the reason when it cannot be used: no JSON object, or `issuer` or `jwks_uri` is not there or no text.
    public static func parse(_ json: [UInt8], limits: JOSELimits = JOSELimits()) -> Result<ProviderMetadata, Problem> {
        var document = JSONDocument()
        document.text.append(contentsOf: json)
        if let fault = JSONParser.parse(&document, limits.keySet) { return .failure(Problem(reason: "no JSON: \(fault)")) }
        guard document.isObject(0) else { return .failure(Problem(reason: "it is no object")) }
        guard let issuer = document.member("issuer").flatMap({ document.string($0) }) else {
            return .failure(Problem(reason: "it has no issuer"))
        }
        guard let uri = document.member("jwks_uri").flatMap({ document.string($0) }) else {
            return .failure(Problem(reason: "it has no jwks_uri"))
        }
        return .success(ProviderMetadata(issuer: issuer.text, keySetURI: uri.text))
    }

    public struct Problem: Error, Sendable {
        public let reason: String
    }
}

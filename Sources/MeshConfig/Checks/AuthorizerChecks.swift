/// Istio's rules for external authorizers among `meshConfig.extensionProviders`.
struct AuthorizerChecks {
    let findings: Findings

    func check(authorizer settings: NodeReader) {
        if let prefix = settings.string("pathPrefix"), !prefix.isEmpty {
            let isPath = prefix.hasPrefix("/") && prefix.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }
            if !isPath {
                findings.error(
                    settings.position("pathPrefix"), "\(settings.path).pathPrefix",
                    "\"\(prefix.prefix(64))\" must be a path, beginning with /")
            }
        }
        if let status = settings.name("statusOnError"), UInt16(status).map({ (200...599).contains($0) }) != true {
            findings.error(
                settings.position("statusOnError"), "\(settings.path).statusOnError",
                "\"\(status.prefix(64))\" is no status code that a request can be answered with, 200 to 599")
        }
        findings.duration(settings, "timeout", zeroAllowed: false)
        if let body = settings.child("includeRequestBodyInCheck") {
            if !body.has("maxRequestBytes") { findings.error(body.position, body.path, "maxRequestBytes is required") }
            findings.range(body, "maxRequestBytes", 1...ExternalAuthorizerSettings.bodyBytesMax)
        }
        let lists = [
            "includeHeadersInCheck", "includeRequestHeadersInCheck", "headersToUpstreamOnAllow", "headersToDownstreamOnDeny",
            "headersToDownstreamOnAllow",
        ]
        for list in lists { for (text, position, path) in settings.positionedStrings(list) { check(fieldPattern: text, position, path) } }
        for (name, value) in settings.entries("includeAdditionalHeadersInCheck") {
            if let problem = HeaderChecks.fieldNameProblem(name) {
                findings.error(value.position, value.path, "header name \"\(name.prefix(64))\" \(problem)")
            }
            let text = settings.child("includeAdditionalHeadersInCheck")?.string(name) ?? ""
            if text.utf8.contains(where: { $0 < 0x20 && $0 != 9 || $0 == 0x7F }) {
                findings.error(value.position, value.path, "has characters that header values cannot have (RFC 9110 section 5.5)")
            }
        }
    }

    /// `abc`, `abc*` or `*abc`.
    private func check(fieldPattern text: String, _ position: SourcePosition, _ path: String) {
        var name = Substring(text)
        if name.hasSuffix("*") { name = name.dropLast() } else if name.hasPrefix("*") { name = name.dropFirst() }
        if name.isEmpty && text.hasSuffix("*") || !name.contains("*") && HeaderChecks.fieldNameProblem(String(name)) == nil { return }
        findings.error(position, path, "\"\(text.prefix(64))\" is no header name, and none with one * at its beginning or its end")
    }
}

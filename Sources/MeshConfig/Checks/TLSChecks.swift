/// Istio's rules for TLS settings, of servers (Gateway, Sidecar ingress) and of clients (DestinationRule).
extension Findings {
    private static let certificateFields = ["serverCertificate", "privateKey", "caCertificates", "caCrl", "credentialName"]
    /// Names that Envoy knows of OpenSSL's; others are left out there with a word in its log.
    private static let cipherSuites: Set<String> = [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA",
    ]

    mutating func check(serverTLS tls: NodeReader) {
        let mode = tls.name("mode") ?? "PASSTHROUGH"
        let given = Findings.certificateFields.filter { tls.string($0)?.isEmpty == false }
        switch mode {
        case "PASSTHROUGH", "AUTO_PASSTHROUGH":
            if let first = given.first {
                warn(
                    tls.position(first), "\(tls.path).\(first)",
                    "mode \(mode) decrypts nothing, so \(given.joined(separator: ", ")) have no effect")
            }
        case "ISTIO_MUTUAL":
            for name in given where name != "caCrl" {
                error(tls.position(name), "\(tls.path).\(name)", "must not be set with mode ISTIO_MUTUAL; the mesh issues the certificates")
            }
        default: checkCertificates(tls, mode)
        }
        if tls.string("caCrl")?.isEmpty == false, mode == "SIMPLE" || given.contains("credentialName") {
            error(
                tls.position("caCrl"), "\(tls.path).caCrl",
                "needs a mode that asks for client certificates, and caCertificates; a credential brings its own list")
        }
        if ["TLSV1_0", "TLSV1_1"].contains(tls.name("minProtocolVersion")), tls.isEmptyList("cipherSuites") {
            warn(
                tls.position("minProtocolVersion"), "\(tls.path).minProtocolVersion",
                "TLS before 1.2 needs cipherSuites that go with it; the default ones do not")
        }
        var seen: Set<String> = []
        for (suite, position, path) in tls.positionedStrings("cipherSuites") {
            // What begins with another character is an expression (`-AES`, `[A|B]`).
            let isExpression = suite.utf8.first.map { !ObjectName.isAlphanumeric($0) } ?? true
            if !isExpression, suite != "ALL", !Findings.cipherSuites.contains(suite) {
                warn(position, path, "cipher suite \"\(suite.prefix(64))\" is not known and is left out")
            } else if !seen.insert(suite).inserted {
                warn(position, path, "cipher suite \"\(suite)\" is listed twice")
            }
        }
    }

    private mutating func checkCertificates(_ tls: NodeReader, _ mode: String) {
        let hasCredential = tls.string("credentialName")?.isEmpty == false || !tls.isEmptyList("credentialNames")
        let pairs = tls.children("tlsCertificates")
        if hasCredential { return }
        if pairs.isEmpty {
            require(tls, "serverCertificate", "mode \(mode) needs a certificate's path, or credentialName")
            require(tls, "privateKey", "mode \(mode) needs a key's path, or credentialName")
        }
        if mode != "SIMPLE" {
            require(tls, "caCertificates", "mode \(mode) needs the authorities that issue client certificates, or credentialName")
        }
    }

    mutating func check(clientTLS tls: NodeReader) {
        let mode = tls.name("mode") ?? "DISABLE"
        func given(_ names: [String]) -> [String] {
            names.filter { name in name == "subjectAltNames" ? tls.has(name) : tls.string(name)?.isEmpty == false }
        }
        if tls.bool("insecureSkipVerify") == true {
            for name in given(["caCertificates", "subjectAltNames"] + (mode == "SIMPLE" ? ["credentialName"] : []))
            where mode == "SIMPLE" || mode == "MUTUAL" {
                error(tls.position(name), "\(tls.path).\(name)", "cannot be combined with insecureSkipVerify: true, which verifies nothing")
            }
        }
        if mode == "SIMPLE" || mode == "MUTUAL", tls.string("credentialName")?.isEmpty == false {
            for name in given(["clientCertificate", "privateKey", "caCertificates", "caCrl"]) {
                error(tls.position(name), "\(tls.path).\(name)", "cannot be combined with credentialName, which brings all of them")
            }
            return
        }
        if mode == "MUTUAL" {
            require(tls, "clientCertificate", "mode MUTUAL needs a client certificate, or credentialName")
            require(tls, "privateKey", "mode MUTUAL needs a private key, or credentialName")
        }
        if mode == "ISTIO_MUTUAL" {
            for name in given(["clientCertificate", "privateKey", "caCertificates", "credentialName"]) {
                warn(tls.position(name), "\(tls.path).\(name)", "has no effect with mode ISTIO_MUTUAL: the mesh issues the certificates")
            }
        }
    }
}

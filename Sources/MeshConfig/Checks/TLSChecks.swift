/// Istio's rules for TLS settings, of servers (Gateway, Sidecar ingress) and of clients (DestinationRule).
struct TLSChecks {
    let findings: Findings

    private static let certificateFields = ["serverCertificate", "privateKey", "caCertificates", "caCrl", "credentialName"]

    func check(serverTLS tls: NodeReader) {
        let mode = tls.name("mode") ?? "PASSTHROUGH"
        let given = Self.certificateFields.filter { tls.string($0)?.isEmpty == false }
        switch mode {
        case "PASSTHROUGH", "AUTO_PASSTHROUGH":
            if let first = given.first {
                findings.warn(
                    tls.position(first), "\(tls.path).\(first)",
                    "mode \(mode) decrypts nothing, so \(given.joined(separator: ", ")) have no effect")
            }
        case "ISTIO_MUTUAL":
            for name in given where name != "caCrl" {
                findings.error(
                    tls.position(name), "\(tls.path).\(name)", "must not be set with mode ISTIO_MUTUAL; the mesh issues the certificates")
            }
        default: checkCertificates(tls, mode)
        }
        if tls.string("caCrl")?.isEmpty == false, mode == "SIMPLE" || given.contains("credentialName") {
            findings.error(
                tls.position("caCrl"), "\(tls.path).caCrl",
                "needs a mode that asks for client certificates, and caCertificates; a credential brings its own list")
        }
        checkVersions(tls)
        var seen: Set<String> = []
        for (suite, position, path) in tls.positionedStrings("cipherSuites") {
            let shown = suite.prefix(64)
            if let problem = CipherSuites.problem(suite) {
                findings.warn(position, path, "cipher suite \"\(shown)\" \(problem)")
            } else if !seen.insert(suite).inserted {
                findings.warn(position, path, "cipher suite \"\(shown)\" is listed twice")
            } else if let weakness = CipherSuites.weakness(suite) {
                findings.add(.notice, .schemaWarning, position, path, "cipher suite \"\(shown)\" \(weakness)")
            }
        }
        for (text, position, path) in tls.positionedStrings("verifyCertificateSpki") where !PinText.isBase64(text) {
            findings.error(position, path, "\"\(text.prefix(64))\" is no SHA-256 of a public key: 44 characters of base64 are expected")
        }
        for (text, position, path) in tls.positionedStrings("verifyCertificateHash") where !PinText.isHexadecimal(text) {
            findings.error(
                position, path, "\"\(text.prefix(64))\" is no SHA-256 of a certificate: 64 hexadecimal digits, with or without colons")
        }
    }

    /// TLS 1.0 and 1.1 are not spoken (RFC 8996).
    private func checkVersions(_ tls: NodeReader) {
        let (least, most) = (tls.name("minProtocolVersion") ?? "", tls.name("maxProtocolVersion") ?? "")
        let old = ["TLSV1_0", "TLSV1_1"]
        if old.contains(least) {
            findings.warn(
                tls.position("minProtocolVersion"), "\(tls.path).minProtocolVersion",
                "TLS before 1.2 is not spoken: TLSV1_2 is the lowest")
        }
        if old.contains(most) {
            findings.error(
                tls.position("maxProtocolVersion"), "\(tls.path).maxProtocolVersion",
                "TLS before 1.2 is not spoken; accepted: TLSV1_2, TLSV1_3")
        } else if least == "TLSV1_3", most == "TLSV1_2" {
            findings.error(tls.position("maxProtocolVersion"), "\(tls.path).maxProtocolVersion", "is below minProtocolVersion \(least)")
        }
    }

    private func checkCertificates(_ tls: NodeReader, _ mode: String) {
        let hasCredential = tls.string("credentialName")?.isEmpty == false || !tls.isEmptyList("credentialNames")
        let named = tls.positionedStrings("credentialNames").map { ($0.0, $0.1, $0.2) }
            + ["credentialName", "caCertCredentialName"].compactMap { field in
                tls.string(field).map { ($0, tls.position(field), "\(tls.path).\(field)") }
            }
        for (name, position, path) in named where !name.isEmpty {
            if let problem = CredentialName.problem(name) { findings.error(position, path, "\"\(name.prefix(64))\" \(problem)") }
        }
        let pairs = tls.children("tlsCertificates")
        for pair in pairs {
            findings.require(pair, "serverCertificate", "each needs a certificate's path")
            findings.require(pair, "privateKey", "each needs a key's path")
        }
        let counts = ["tlsCertificates": pairs.count, "credentialNames": tls.strings("credentialNames").count]
        for (list, count) in counts.sorted(by: { $0.key < $1.key }) where count > 2 {
            findings.error(tls.position(list), "\(tls.path).\(list)", "lists more than two: at most one of RSA and one of ECDSA")
        }
        if hasCredential { return }
        let hasAuthorities = tls.string("caCertCredentialName")?.isEmpty == false
        if pairs.isEmpty {
            findings.require(tls, "serverCertificate", "mode \(mode) needs a certificate's path, or credentialName")
            findings.require(tls, "privateKey", "mode \(mode) needs a key's path, or credentialName")
        }
        if mode != "SIMPLE", !hasAuthorities {
            findings.require(tls, "caCertificates", "mode \(mode) needs the authorities that issue client certificates, or credentialName")
        }
    }

    func check(clientTLS tls: NodeReader) {
        let mode = tls.name("mode") ?? "DISABLE"
        func given(_ names: [String]) -> [String] {
            names.filter { name in name == "subjectAltNames" ? tls.has(name) : tls.string(name)?.isEmpty == false }
        }
        if tls.bool("insecureSkipVerify") == true {
            for name in given(["caCertificates", "subjectAltNames"] + (mode == "SIMPLE" ? ["credentialName"] : []))
            where mode == "SIMPLE" || mode == "MUTUAL" {
                findings.error(
                    tls.position(name), "\(tls.path).\(name)", "cannot be combined with insecureSkipVerify: true, which verifies nothing")
            }
        }
        if mode == "SIMPLE" || mode == "MUTUAL", tls.string("credentialName")?.isEmpty == false {
            for name in given(["clientCertificate", "privateKey", "caCertificates", "caCrl"]) {
                findings.error(
                    tls.position(name), "\(tls.path).\(name)", "cannot be combined with credentialName, which brings all of them")
            }
            return
        }
        if mode == "MUTUAL" {
            findings.require(tls, "clientCertificate", "mode MUTUAL needs a client certificate, or credentialName")
            findings.require(tls, "privateKey", "mode MUTUAL needs a private key, or credentialName")
        }
        if mode == "ISTIO_MUTUAL" {
            for name in given(["clientCertificate", "privateKey", "caCertificates", "credentialName"]) {
                findings.warn(
                    tls.position(name), "\(tls.path).\(name)", "has no effect with mode ISTIO_MUTUAL: the mesh issues the certificates")
            }
        }
    }
}

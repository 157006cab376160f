internal import TLS

/// Looks an authority's directory over, as an operator would want to before it fails.
public enum AuthorityCheck {
    public enum State: String, Sendable { case good, warning, failure }

    /// One thing that was looked at. A hint says what to do, where it is not good.
    public struct Finding: Sendable {
        public var state: State
        public var text: String
        public var hint: String?
    }

    /// Linkerd warns of a root this long before its end.
    static let rootWarningSeconds: Int64 = 60 * UnixTime.day

    /// Stops where what follows could not be looked at. `now`: seconds since 1970.
    public static func findings(of path: String, now: Int64) -> [Finding] {
        let directory = PrivateDirectory(path)
        guard directory.exists else {
            return [Finding(state: .failure, text: "\(path) is there", hint: "skein ca init --directory \(path)")]
        }
        var findings = modes(in: directory)
        let authority: Authority
        do throws(AuthorityError) { authority = try Authority(openIn: path) } catch {
            return findings + [Finding(state: .failure, text: "the authority can be read", hint: error.description)]
        }
        findings.append(Finding(state: .good, text: "the authority can be read: its key, certificates and log"))
        findings += authority.roots.map { root(of: $0, authority, now: now) }
        findings.append(intermediate(of: authority, now: now))
        findings.append(rootKey(of: authority))
        if let problem = authority.problem(now: now) {
            let hint = "\(problem): ca-cert.pem, cert-chain.pem and root-cert.pem must be of one authority and in their time"
            findings.append(Finding(state: .failure, text: "a certificate issued now is believed", hint: hint))
        } else {
            findings.append(Finding(state: .good, text: "a certificate issued now is believed"))
        }
        return findings + [renewals(of: authority, now: now)]
    }

    private static func modes(in directory: PrivateDirectory) -> [Finding] {
        var findings: [Finding] = []
        if let mode = directory.mode("") {
            let isOpen = mode & 0o022 != 0
            findings.append(
                Finding(
                    state: isOpen ? .failure : .good, text: "only its owner may write the directory",
                    hint: isOpen ? "chmod 700 \(directory.path)" : nil))
        }
        for file in [AuthorityFile.key, .rootKey] {
            guard let mode = directory.mode(file.rawValue) else { continue }
            let place = "\(directory.path)/\(file.rawValue)"
            let state: State = mode & 0o022 != 0 ? .failure : mode & 0o077 != 0 ? .warning : .good
            let hint = state == .failure ? "chmod 600 \(place), and make a new key: skein ca rotate" : "chmod 600 \(place)"
            findings.append(
                Finding(state: state, text: "only its owner may read \(file.rawValue)", hint: state == .good ? nil : hint))
        }
        return findings
    }

    private static func root(of root: Certificate, _ authority: Authority, now: Int64) -> Finding {
        let left = root.notAfter - now
        let isSigning = root == authority.root
        let text = "the root \(root.subject) is valid until \(UnixTime.text(root.notAfter))"
        if left < 0 || root.notBefore > now {
            let state: State = isSigning ? .failure : .warning
            return Finding(state: state, text: text, hint: isSigning ? "skein ca rotate --root" : "skein ca rotate --forget-roots")
        }
        guard left < rootWarningSeconds, isSigning else { return Finding(state: .good, text: text) }
        return Finding(state: .warning, text: text, hint: "\(UnixTime.span(left)) are left: skein ca rotate --root")
    }

    /// Below a third of its life.
    private static func intermediate(of authority: Authority, now: Int64) -> Finding {
        let certificate = authority.certificate
        let text = "the signing certificate \(certificate.subject) is valid until \(UnixTime.text(certificate.notAfter))"
        let left = certificate.notAfter - now
        if left < 0 || certificate.notBefore > now { return Finding(state: .failure, text: text, hint: "skein ca rotate") }
        guard left < (certificate.notAfter - certificate.notBefore) / 3 else { return Finding(state: .good, text: text) }
        return Finding(state: .warning, text: text, hint: "\(UnixTime.span(left)) are left: skein ca rotate")
    }

    private static func rootKey(of authority: Authority) -> Finding {
        switch authority.rootKeyState {
        case .matching: Finding(state: .good, text: "root-key.pem is the root's key")
        case .absent: Finding(state: .good, text: "root-key.pem is kept elsewhere: it is needed to rotate")
        case .foreign:
            Finding(
                state: .failure, text: "root-key.pem is the root's key",
                hint: "it is not the key of \(authority.root.subject): restore it, or skein ca rotate cannot work")
        }
    }

    /// Certificates that are near their end and that nobody has renewed.
    private static func renewals(of authority: Authority, now: Int64) -> Finding {
        var newest: [[String]: IssuedCertificate] = [:]
        for record in authority.issued where record.state(now: now) == .valid { newest[record.names] = record }
        let late = newest.values.filter { $0.notAfter - now < ($0.notAfter - $0.notBefore) / 3 }
        let text = "identities in use (\(newest.count)) have a third of their time left"
        guard !late.isEmpty else { return Finding(state: .good, text: text) }
        let names = late.flatMap(\.names).sorted()
        let others = names.count > 3 ? " and \(names.count - 3) more" : ""
        return Finding(
            state: .warning, text: text,
            hint: "\(names.prefix(3).joined(separator: ", "))\(others): issue new certificates, skein ca issue")
    }
}

internal import CertificateAuthority
internal import Foundation

/// The demo's own authority, in its directory, and a certificate for each of its workloads, made anew with each start.
struct DemoCertificates {
    /// Where an identity's key, certificate and roots are.
    private let directory: String

    /// `accounts`: service accounts of the namespace `bookinfo`.
    init(in directory: String, accounts: Set<String>) throws(DemoProblem) {
        self.directory = directory + "/certificates"
        let authority = directory + "/ca"
        // Of a demo before this one.
        for path in [authority, self.directory] { try? FileManager.default.removeItem(atPath: path) }
        guard unsafe mkdir(self.directory, 0o700) == 0 else {
            throw DemoProblem("\(self.directory) cannot be made: \(unsafe String(cString: strerror(errno)))")
        }
        do throws(AuthorityError) {
            var authority = try Authority.create(in: authority, trustDomain: Authority.trustDomainDefault, now: CAOptions.now)
            for account in accounts.sorted() {
                try authority.issue(to: authority.identity("bookinfo/\(account)"), now: CAOptions.now).write(to: path(account))
            }
        } catch {
            throw DemoProblem("the demo's certificates cannot be made: \(error)")
        }
    }

    func path(_ account: String) -> String { "\(directory)/\(account)" }
}

internal import CertificateAuthority
internal import HTTPService
internal import Primitives
internal import Synchronization
internal import TLS

/// What of an authority its server shows: its roots, its lists of revoked certificates, its TLS. The signing thread renews it, the server's
/// thread reads it. Any thread.
final class ServedAuthority: Sendable {
    struct Trust: Sendable {
        var roots: [UInt8]
        var lists: [UInt8]
    }

    private struct State {
        var trust: Trust
        var stamp: AuthorityStamp
        /// The certificate that signs, and the roots that clients are believed by, of the TLS in use.
        var issuer: Certificate
        var leaf: Certificate
    }

    /// Of its own certificate, seconds.
    private static let leafSeconds = Authority.leafSecondsDefault

    let tls: TLSSettingsSource
    let trustDomain: String
    private let names: [String]
    private let state: Mutex<State>

    /// `names`: host names and addresses that its certificate has besides the one that all clients of ours ask for.
    init(_ authority: inout Authority, names: [String], now: Int64) throws(AuthorityError) {
        trustDomain = authority.trustDomain
        let own = ExchangeProtocol.serverName(of: authority.trustDomain)
        self.names = [own] + names.filter { $0 != own }
        let stamp = AuthorityStamp(of: authority.path)
        let (settings, leaf) = try Self.settings(&authority, self.names, now: now)
        do throws(TLSError) { tls = try TLSSettingsSource(.server, settings) } catch { throw Self.failure(error) }
        state = Mutex(
            State(trust: try Self.trust(of: authority), stamp: stamp, issuer: authority.certificate, leaf: leaf))
    }

    var trust: Trust { state.withLock { $0.trust } }

    /// Another process has changed the authority, or the server's certificate is past half of its time.
    func isDue(_ path: String, now: Int64) -> Bool {
        let (stamp, leaf) = state.withLock { ($0.stamp, $0.leaf) }
        return stamp != AuthorityStamp(of: path) || now > leaf.notBefore + (leaf.notAfter - leaf.notBefore) / 2
    }

    /// Takes over what the authority is now. The lock of its directory is held.
    func renew(_ authority: inout Authority, now: Int64) throws(AuthorityError) {
        let stamp = AuthorityStamp(of: authority.path)
        let trust = try Self.trust(of: authority)
        let (old, issuer, leaf) = state.withLock { ($0.trust, $0.issuer, $0.leaf) }
        var next = leaf
        let isOld = now > leaf.notBefore + (leaf.notAfter - leaf.notBefore) / 2
        if isOld || issuer != authority.certificate || old.roots != trust.roots {
            let (settings, made) = try Self.settings(&authority, names, now: now)
            do throws(TLSError) { try tls.replace(settings) } catch { throw Self.failure(error) }
            next = made
        }
        let (current, certificate) = (next, authority.certificate)
        state.withLock { $0 = State(trust: trust, stamp: stamp, issuer: certificate, leaf: current) }
    }

    private static func trust(of authority: Authority) throws(AuthorityError) -> Trust {
        Trust(roots: authority.roots.flatMap { $0.pem() }, lists: try authority.revocationLists())
    }

    private static func settings(
        _ authority: inout Authority, _ names: [String], now: Int64
    ) throws(AuthorityError) -> (TLSSettings, Certificate) {
        let issued = try authority.issue(toServer: names, seconds: leafSeconds, now: now)
        var settings = TLSSettings()
        settings.protocols = ["h2", "http/1.1"]
        settings.clientCertificate = .wanted
        settings.trust = .workloads([authority.trustDomain: authority.roots])
        guard let key = issued.key else { preconditionFailure("a server's certificate is made with its key") }
        do throws(TLSError) {
            let credentials = try TLSCredentials(chain: issued.chain, key: key)
            settings.credentials = credentials
            return (settings, credentials.leaf)
        } catch {
            throw failure(error)
        }
    }

    private static func failure(_ error: TLSError) -> AuthorityError { AuthorityError(.system, "TLS of the authority: \(error)") }
}

internal import Logging
internal import MeshConfig
internal import Primitives
internal import Proxy
internal import Routing
internal import TLS

/// What connections are secured with, from the configuration and the workload's certificate. Reads the files that rules name. Confined to
/// the control thread.
struct SecurityPlanner {
    /// Counts plans, so that workers know a new one.
    private var revision: UInt64 = 0
    /// Of all workers, from one configuration to the next.
    private let ticketKeys = TicketKeys()
    /// Kinds of TLS that cannot be had, and why; of the last plan.
    private(set) var problems: [String] = []
    /// Of the certificates of the last plan.
    let expiry = CertificateExpiry()

    /// What servers of Gateways got in the last plan: trying out a context takes longer than everything else here, and reloads change few.
    private var gateways: [GatewaySecurity: Planned] = [:]

    private struct Planned {
        var credentials: CredentialSet
        var server: DownstreamTLS
    }

    mutating func plan(
        _ routing: RoutingSnapshot, _ identity: WorkloadIdentity?, _ credentials: inout CredentialWatch, _ log: Logger
    ) -> SecurityPlan {
        revision += 1
        problems = []
        var plan = SecurityPlan()
        plan.revision = revision
        plan.principal = identity?.id.description ?? ""
        plan.inbound = identity?.serverSettings(clientCertificate: .required)
        plan.revocations = identity?.revocations
        if let identity { plan.inbound?.resumeSessions(of: identity.id.description, with: ticketKeys) }
        var planned: [GatewaySecurity: Planned] = [:]
        plan.gateways = routing.gatewaySecurities.map { gateway($0, identity, &credentials, &planned, log) }
        gateways = planned
        plan.outbound = routing.upstreamSecurities.map { upstream($0, identity, &credentials, log) }
        expiry.update(plan, identity)
        return plan
    }

    private mutating func gateway(
        _ security: GatewaySecurity, _ identity: WorkloadIdentity?, _ credentials: inout CredentialWatch,
        _ planned: inout [GatewaySecurity: Planned], _ log: Logger
    ) -> DownstreamTLS {
        do throws(TLSError) {
            let found = try credentials.credentials(for: security.tls, log)
            let known = gateways[security]
            let server: DownstreamTLS
            // The identity is renewed by itself.
            if let known, known.credentials.isSame(as: found), security.tls.mode != .istioMutual {
                server = known.server
            } else {
                server = try GatewayTLSPlanner.plan(security, found, identity, ticketKeys)
            }
            planned[security] = Planned(credentials: found, server: server)
            return server
        } catch {
            problems.append("\(security.server): TLS handshakes are refused: \(error)")
            return DownstreamTLS(settings: nil, problem: error.description)
        }
    }

    private mutating func upstream(
        _ security: UpstreamSecurity, _ identity: WorkloadIdentity?, _ credentials: inout CredentialWatch, _ log: Logger
    ) -> UpstreamTLS {
        let isAddress = SocketEndpoint(address: security.serverName, port: 1) != nil
        var upstream = UpstreamTLS(key: Self.key(security), settings: nil, serverName: isAddress ? "" : security.serverName,
            protocolsOfHTTP1: security.protocols(for: .http1), choosesHTTP: security.choosesHTTP)
        if !security.names.isEmpty {
            upstream.expectation = .names(security.names)
        } else if security.verifiesHost, !security.serverName.isEmpty {
            upstream.expectation = .host(security.serverName)
        }
        do throws(TLSError) {
            upstream.settings = try Self.settings(security, identity, credentials.credentials(for: security, log))
        } catch {
            upstream.problem = error.description
            problems.append("TLS with \(security.serverName.isEmpty ? "endpoints" : security.serverName): \(error)")
        }
        return upstream
    }

    private static func settings(
        _ security: UpstreamSecurity, _ identity: WorkloadIdentity?, _ credentials: CredentialSet
    ) throws(TLSError) -> TLSSettings {
        var settings = TLSSettings()
        settings.protocols = security.protocols
        if security.mode == .istioMutual {
            guard let identity else {
                throw TLSError("this proxy has no certificate to show: give it one with --identity DIRECTORY")
            }
            settings.credentials = identity.credentials
            if security.skipsVerification { settings.trust = .anybody } else { identity.verifyWorkloads(&settings) }
            return settings
        }
        settings.credentials = credentials.certificates.first
        settings.revocations = credentials.revocations
        settings.trust = security.skipsVerification ? .anybody : credentials.roots.isEmpty ? .system : .roots(credentials.roots)
        return settings
    }

    /// The same for the same demands, whatever the certificates are at present.
    private static func key(_ security: UpstreamSecurity) -> String {
        [
            "\(security.mode)", security.serverName, security.names.joined(separator: ","), "\(security.verifiesHost)",
            "\(security.skipsVerification)", security.authorities, security.certificate, security.key, security.credentialName,
            security.revocations,
            security.protocols.joined(separator: ","), "\(security.choosesHTTP)",
        ].joined(separator: "|")
    }
}

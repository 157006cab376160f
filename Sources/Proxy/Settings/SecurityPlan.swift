public import TLS

/// What connections are secured with, as the control thread gives it. Workers make contexts of their own from it.
public struct SecurityPlan: Sendable {
    /// Mutual TLS of the mesh at the workload's own ports; nil = the process has no identity, and nothing is terminated.
    public var inbound: TLSSettings?
    /// What servers of Gateways take; index = `GatewayServer.security`.
    public var gateways: [DownstreamTLS]
    /// How connections to endpoints are secured; index = `EndpointEntry.security`.
    public var outbound: [UpstreamTLS]
    /// Whom the workload's certificate names; empty = it has none.
    public var principal = ""
    /// What the authorities of the mesh have taken back; nil = nobody says. Connections of such peers end when it is adopted; so do those
    /// of peers that the settings of their own kind revoke.
    public var revocations: RevocationLists?
    /// Another one with every plan.
    public var revision: UInt64 = 0

    /// All that peers are looked up in, of the mesh and of others.
    var revocationLists: [RevocationLists] {
        let own = gateways.compactMap { $0.settings?.revocations } + outbound.compactMap { $0.settings?.revocations }
        return own + [revocations].compactMap(\.self)
    }

    public init(inbound: TLSSettings? = nil, gateways: [DownstreamTLS] = [], outbound: [UpstreamTLS] = []) {
        self.inbound = inbound
        self.gateways = gateways
        self.outbound = outbound
    }
}

/// How connections to a server of a Gateway are secured.
public struct DownstreamTLS: Sendable {
    /// Nil = it cannot be done (`problem`), and handshakes fail.
    public var settings: TLSSettings?
    /// Of clients that show certificates.
    public var expectation: TLSExpectation
    /// Why there are no settings, for people.
    public var problem: String

    public init(settings: TLSSettings?, expectation: TLSExpectation = .anybody, problem: String = "") {
        self.settings = settings
        self.expectation = expectation
        self.problem = problem
    }
}

/// How connections to some endpoints are secured.
public struct UpstreamTLS: Sendable {
    /// Stays the same when certificates are renewed: connections go on, new ones get the new certificates.
    public var key: String
    /// Nil = it cannot be done (`problem`), and connections fail.
    public var settings: TLSSettings?
    /// SNI; empty = none.
    public var serverName: String
    public var expectation: TLSExpectation
    /// ALPN of a connection for HTTP/1.1 alone, most wanted first.
    public var protocolsOfHTTP1: [String]
    /// The server chooses the version of HTTP with each connection (ALPN).
    public var choosesHTTP: Bool
    /// Why there are no settings, for people.
    public var problem: String

    public init(
        key: String, settings: TLSSettings?, serverName: String = "", expectation: TLSExpectation = .anybody,
        protocolsOfHTTP1: [String] = [], choosesHTTP: Bool = false, problem: String = ""
    ) {
        self.choosesHTTP = choosesHTTP
        self.protocolsOfHTTP1 = protocolsOfHTTP1
        self.key = key
        self.settings = settings
        self.serverName = serverName
        self.expectation = expectation
        self.problem = problem
    }
}

public import MeshConfig

/// Why a request goes where it goes: every rule that was looked at and what each of its conditions said. Made by the same matchers that
/// serve traffic; cold code.
public struct RouteExplanation: Sendable {
    /// One condition of a match.
    public struct Clause: Sendable {
        /// `uri`, `header end-user`, `without header x`, `query parameter q`, `method`, `authority`, `scheme`, `port`.
        public var subject: String
        /// `prefix "/api"`.
        public var wanted: String
        /// What the request has; nil = nothing of the kind.
        public var found: String?
        public var holds: Bool
    }

    /// One `match` block: all of its clauses must hold.
    public struct Match: Sendable {
        public var position: SourcePosition?
        public var clauses: [Clause]
        public var holds: Bool
    }

    public struct Rule: Sendable {
        public var route: UInt32
        public var name: String
        public var position: SourcePosition?
        public var resource: ResourceID?
        /// Empty = takes everything.
        public var matches: [Match]
        public var takes: Bool
    }

    public struct Destination: Sendable {
        public var cluster: String
        public var weight: UInt32
        /// 0...1 of the rule's requests.
        public var share: Double
        public var isDrawn: Bool
        public var exists: Bool
    }

    /// False: no virtual host has the name at the port.
    public var hasVirtualHost = false
    /// In order, up to and with the one that took the request.
    public var rules: [Rule] = []
    public var destinations: [Destination] = []
    public var decision = RouteDecision.notFound
}

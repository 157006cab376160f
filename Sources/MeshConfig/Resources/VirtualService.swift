/// How requests to some hosts are routed (networking.istio.io VirtualService).
public struct VirtualService: Sendable {
    public var id: ResourceID
    public var position: SourcePosition
    /// As written: short names mean the rule's namespace (`HostName.resolve`); `*` and `*.suffix` are wildcards.
    public var hosts: [String]
    /// `mesh` or `namespace/name`; empty in the text means `["mesh"]`.
    public var gateways: [String]
    /// First match wins.
    public var http: [HTTPRoute]
    /// `spec.tls`, then `spec.tcp`: connections that are not read as HTTP. First match wins.
    public var l4: [L4Route]
    /// Namespaces that see this rule: `.`, `*` or names; empty = everywhere.
    public var exportTo: [String]

    /// Whether the rule applies to proxies beside workloads, as opposed to gateways only.
    public var appliesToMesh: Bool { gateways.contains("mesh") }
}

/// One entry of `spec.http`.
public struct HTTPRoute: Sendable {
    public var position: SourcePosition
    /// Empty when not named; Istio then prints `default`... in access logs.
    public var name: String
    /// Any of these; empty = every request.
    public var matches: [HTTPMatchRequest]
    public var destinations: [HTTPRouteDestination]
    /// Whole request, retries included. Nil and 0 both mean no limit (Istio's default).
    public var timeoutNanoseconds: Int64?
    public var redirect: HTTPRedirect?
    public var directResponse: HTTPDirectResponse?
    public var rewrite: HTTPRewrite?
    public var retries: HTTPRetry?
    public var fault: HTTPFaultInjection?
    /// `mirrors`, and the single `mirror` with its percentage as one entry.
    public var mirrors: [HTTPMirror]
    public var headers: HeaderOperations?
    public var corsPolicy: CORSPolicy?
    /// Another VirtualService's http rules take over (namespace may be empty: this rule's).
    public var delegate: ResourceID?
}

/// One weighted destination of a route.
public struct HTTPRouteDestination: Sendable {
    public var position: SourcePosition
    public var destination: Destination
    /// Share among the route's destinations: weight / sum. When every weight is 0, a single destination receives
    /// everything and several are an error. 0...2147483647.
    public var weight: UInt32
    public var headers: HeaderOperations?
}

/// A service, one of its subsets, one of its ports.
public struct Destination: Sendable, Hashable {
    public var position: SourcePosition
    /// As written; short names mean the rule's namespace.
    public var host: String
    /// Empty = the whole service.
    public var subset: String
    /// Nil = the service's only port, or the port the request was addressed to.
    public var port: UInt16?
}

/// Conditions of one `match` entry; all of them must hold.
public struct HTTPMatchRequest: Sendable {
    public var position: SourcePosition
    public var name: String
    /// Path without the query string.
    public var uri: StringMatch?
    public var scheme: StringMatch?
    public var method: StringMatch?
    public var authority: StringMatch?
    /// Names in lower case, in the order written.
    public var headers: [NamedStringMatch]
    /// None of these may match. Names in lower case.
    public var withoutHeaders: [NamedStringMatch]
    /// Names case-sensitive.
    public var queryParameters: [NamedStringMatch]
    /// Applies to `uri` exact and prefix only.
    public var ignoreURICase: Bool
    /// Port the request was addressed to.
    public var port: UInt16?
    /// The calling workload must carry all of these labels.
    public var sourceLabels: [String: String]
    /// Empty = any.
    public var sourceNamespace: String
    /// Replaces the VirtualService's own `gateways` when not empty; `mesh` or `namespace/name`.
    public var gateways: [String]
    public var statPrefix: String

    /// Whether the entry can apply to a sidecar proxy of the mesh.
    public func appliesToMesh(ruleGateways: [String]) -> Bool { applies(to: ["mesh"], ruleGateways: ruleGateways) }

    /// Whether the entry can apply to a proxy that serves one of these gateways.
    public func applies(to names: Set<String>, ruleGateways: [String]) -> Bool {
        (gateways.isEmpty ? ruleGateways : gateways).contains(where: names.contains)
    }
}

public struct NamedStringMatch: Sendable {
    public var name: String
    public var match: StringMatch
}

/// How one string is compared.
public struct StringMatch: Sendable, Hashable {
    public enum Condition: Sendable, Hashable {
        case exact(String)
        case prefix(String)
        /// RE2 syntax; must match the whole value. Not compiled here: Routing does and reports at `position`.
        case regex(String)
        /// `{}`: the header or parameter is there, whatever its value.
        case present
    }

    public var condition: Condition
    /// Of the operand (`exact:`'s value), or of the empty matcher.
    public var position: SourcePosition
    /// `spec.http[0].match[0].uri.regex`, for messages of later layers.
    public var field: String

    public init(condition: Condition, position: SourcePosition, field: String) {
        self.condition = condition
        self.position = position
        self.field = field
    }
}

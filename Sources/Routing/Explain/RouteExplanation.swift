internal import CRE2
public import HTTP
public import MeshConfig
public import Primitives
internal import TelemetryModel

/// Why a request goes where it goes: every rule that was looked at and what each of its conditions said. Made by the same matchers that serve traffic; cold code.
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

/// Where rules come from; not read by requests.
public struct RouteOrigin: Sendable {
    public var resource: ResourceID
    public var position: SourcePosition
    /// Of the rule's matches, in the order of the compiled ones.
    public var matches: [SourcePosition]
}

extension RoutingSnapshot {
    /// Explains a request. `draw` chooses among weighted destinations exactly as `decide` does with it.
    @unsafe
    public func explain(
        listener: Int, _ request: borrowing RouteRequest, _ head: borrowing MessageHead, draw: inout RandomSource
    ) -> RouteExplanation {
        var result = RouteExplanation()
        let tables = unsafe self.tables
        guard let host = unsafe tables.virtualHost(listener, request) else { return result }
        result.hasVirtualHost = true
        let entry = unsafe tables.virtualHosts[host]
        for index in entry.routes.indices {
            let route = unsafe tables.routes[index]
            let origin = origins[UInt32(clamping: index)]
            var rule = RouteExplanation.Rule(
                route: UInt32(clamping: index), name: catalogs.names.value(route.name.rawValue), position: origin?.position, resource: origin?.resource,
                matches: [], takes: route.matches.count == 0)
            for (offset, place) in route.matches.indices.enumerated() {
                let clauses = unsafe tables.clauses(tables.matches[place], port: entry.port, request, head)
                let holds = clauses.allSatisfy(\.holds)
                let position = origin.flatMap { offset < $0.matches.count ? $0.matches[offset] : nil }
                rule.matches.append(RouteExplanation.Match(position: position, clauses: clauses, holds: holds))
                if holds {
                    rule.takes = true
                    break
                }
            }
            result.rules.append(rule)
            guard rule.takes else { continue }
            unsafe result.decision = tables.decide(listener: listener, request, head, draw: &draw)
            result.destinations = destinations(of: route, result.decision)
            break
        }
        return result
    }

    private func destinations(of route: RouteEntry, _ decision: RouteDecision) -> [RouteExplanation.Destination] {
        let drawn: UInt32?
        switch decision {
        case .cluster(_, let choice), .noCluster(let choice): drawn = choice.destination
        case .notFound, .redirect, .directResponse: return []
        }
        return route.destinations.indices.map { index in
            let entry = unsafe tables.destinations[index]
            let name = entry.cluster < 0 ? "" : unsafe catalogs.names.value(tables.cluster(Int(entry.cluster)).name.rawValue)
            let share = route.totalWeight == 0 ? 0 : Double(entry.weight) / Double(route.totalWeight)
            return RouteExplanation.Destination(
                cluster: name, weight: entry.weight, share: share, isDrawn: drawn == UInt32(clamping: index), exists: entry.cluster >= 0)
        }
    }

    public func name(ofCluster index: UInt32) -> String { unsafe catalogs.names.value(tables.cluster(Int(index)).name.rawValue) }
}

extension RoutingTables {
    /// Every condition of a match with its verdict, in the order in which they are tested.
    func clauses(_ match: MatchEntry, port: UInt16, _ request: borrowing RouteRequest, _ head: borrowing MessageHead) -> [RouteExplanation.Clause] {
        var clauses: [RouteExplanation.Clause] = []
        func text(_ bytes: UnsafeRawBufferPointer) -> String { unsafe String(decoding: bytes, as: UTF8.self) }
        if match.port != 0 {
            clauses.append(RouteExplanation.Clause(subject: "port", wanted: "\(match.port)", found: "\(port)", holds: match.port == port))
        }
        let scheme: StaticString = unsafe request.isHTTPS ? "https" : "http"
        let parts: [(String, StringMatcher, UnsafeRawBufferPointer)] = unsafe [
            ("uri", match.path, request.path), ("method", match.method, request.method), ("authority", match.authority, request.authority),
            ("scheme", match.scheme, UnsafeRawBufferPointer(start: scheme.utf8Start, count: scheme.utf8CodeUnitCount)),
        ]
        for unsafe (subject, matcher, value) in unsafe parts where matcher.kind != .any {
            unsafe clauses.append(RouteExplanation.Clause(subject: subject, wanted: describe(matcher), found: text(value), holds: test(matcher, value)))
        }
        for index in match.headers.indices {
            let header = unsafe named[index]
            let name = unsafe bytes(header.name)
            let found = unsafe head.value(named: name).map { unsafe text($0) }
            unsafe clauses.append(
                RouteExplanation.Clause(
                    subject: (header.isNegated ? "without header " : "header ") + text(name), wanted: describe(header.matcher), found: found,
                    holds: matches(header: header, request, head)))
        }
        for index in match.queryParameters.indices {
            let parameter = unsafe named[index]
            unsafe clauses.append(
                RouteExplanation.Clause(
                    subject: "query parameter " + text(bytes(parameter.name)), wanted: describe(parameter.matcher), found: text(request.query),
                    holds: matches(parameter: parameter, request.query)))
        }
        return clauses
    }

    /// The conditions of a match as text, without a request.
    func conditions(_ match: MatchEntry) -> [String] {
        var conditions: [String] = []
        if match.port != 0 { conditions.append("port \(match.port)") }
        for (subject, matcher) in [("uri", match.path), ("method", match.method), ("authority", match.authority), ("scheme", match.scheme)]
        where matcher.kind != .any {
            unsafe conditions.append("\(subject) \(describe(matcher))")
        }
        for (range, noun) in [(match.headers, "header"), (match.queryParameters, "query parameter")] {
            for index in range.indices {
                let entry = unsafe named[index]
                let name = unsafe String(decoding: bytes(entry.name), as: UTF8.self)
                unsafe conditions.append("\(entry.isNegated ? "without " : "")\(noun) \(name) \(describe(entry.matcher))")
            }
        }
        return conditions
    }

    private func describe(_ matcher: StringMatcher) -> String {
        let text = unsafe String(decoding: bytes(matcher.text), as: UTF8.self)
        switch matcher.kind {
        case .any: return "anything"
        case .present: return "present"
        case .exact: return "exact \"\(text)\"" + (matcher.ignoresCase ? " in any case" : "")
        case .prefix: return "prefix \"\(text)\"" + (matcher.ignoresCase ? " in any case" : "")
        case .regex: return unsafe "regex \"\(String(cString: skein_re2_pattern(regexes[Int(matcher.regex)])))\""
        }
    }
}

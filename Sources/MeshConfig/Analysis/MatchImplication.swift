/// A condition on one text, in bytes: Swift's own comparison would take different spellings of one character for equal.
struct TextCondition: Equatable {
    enum Kind { case present, exact, prefix, regex }
    var kind: Kind
    var bytes: [UInt8]
    /// ASCII letters of either case are the same; `bytes` are in lower case then. Never for a regex.
    var ignoresCase: Bool

    init(_ condition: StringMatch.Condition, ignoringCase: Bool = false) {
        func text(_ value: String) -> [UInt8] { Array((ignoringCase ? value.lowercased() : value).utf8) }
        ignoresCase = ignoringCase
        switch condition {
        case .present: (kind, bytes, ignoresCase) = (.present, [], false)
        case .exact(let value): (kind, bytes) = (.exact, text(value))
        case .prefix(let value): (kind, bytes) = (.prefix, text(value))
        case .regex(let value): (kind, bytes, ignoresCase) = (.regex, Array(value.utf8), false)
        }
    }

    /// Whether every text that `narrow` takes is surely taken here too. False means only that the two texts do not show it.
    func covers(_ narrow: TextCondition) -> Bool {
        switch (kind, narrow.kind) {
        case (.present, _): return true
        // Nothing is known of the texts of a regex, unless it is the same one.
        case (.regex, .regex): return bytes == narrow.bytes
        case (.exact, .exact):
            guard let other = comparable(narrow) else { return false }
            return bytes == other
        case (.prefix, .exact), (.prefix, .prefix):
            guard let other = comparable(narrow) else { return false }
            return other.starts(with: bytes)
        default: return false
        }
    }

    /// Whether no text fits both, as far as exact texts and prefixes show.
    func excludes(_ other: TextCondition) -> Bool {
        guard !ignoresCase, !other.ignoresCase else { return false }
        switch (kind, other.kind) {
        case (.exact, .exact): return bytes != other.bytes
        case (.exact, .prefix): return !bytes.starts(with: other.bytes)
        case (.prefix, .exact): return !other.bytes.starts(with: bytes)
        case (.prefix, .prefix): return !bytes.starts(with: other.bytes) && !other.bytes.starts(with: bytes)
        default: return false
        }
    }

    /// The other's bytes in the form they compare with ours; nil where the other ignores case and our letters do not.
    private func comparable(_ narrow: TextCondition) -> [UInt8]? {
        if ignoresCase { return narrow.ignoresCase ? narrow.bytes : narrow.bytes.map(TextCondition.lower) }
        if narrow.ignoresCase { return bytes.contains(where: TextCondition.isLetter) ? nil : narrow.bytes }
        return narrow.bytes
    }

    static func lower(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte | 0x20 : byte }
    static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte | 0x20) }
}

/// A match in the form that is compared: each condition apart.
struct MatchConditions {
    var uri: TextCondition?
    var scheme: TextCondition?
    var method: TextCondition?
    var authority: TextCondition?
    var headers: [String: TextCondition]
    var withoutHeaders: [String: TextCondition]
    var queryParameters: [String: TextCondition]
    var port: UInt16?
    var sourceLabels: [String: String]
    var sourceNamespace: String
    /// Names of gateways at which it applies.
    var gateways: Set<String>

    /// The match of a rule; nil stands for a rule without, which takes everything at the VirtualService's own gateways.
    init(_ match: HTTPMatchRequest?, ruleGateways: [String]) {
        func named(_ list: [NamedStringMatch]?) -> [String: TextCondition] {
            Dictionary((list ?? []).map { ($0.name, TextCondition($0.match.condition)) }, uniquingKeysWith: { first, _ in first })
        }
        uri = match?.uri.map { TextCondition($0.condition, ignoringCase: match?.ignoreURICase ?? false) }
        scheme = match?.scheme.map { TextCondition($0.condition) }
        method = match?.method.map { TextCondition($0.condition) }
        authority = match?.authority.map { TextCondition($0.condition) }
        headers = named(match?.headers)
        withoutHeaders = named(match?.withoutHeaders)
        queryParameters = named(match?.queryParameters)
        port = match?.port
        sourceLabels = match?.sourceLabels ?? [:]
        sourceNamespace = match?.sourceNamespace ?? ""
        gateways = Set(match.map(\.gateways).flatMap { $0.isEmpty ? nil : $0 } ?? ruleGateways)
    }

    /// Whether every request, at every gateway and from every workload, that satisfies `narrow` surely satisfies this match too. The
    /// conditions of one match must all hold, so each one here needs one there that implies it. False means only that the texts do not
    /// show it.
    func covers(_ narrow: MatchConditions) -> Bool {
        if let port, port != narrow.port { return false }
        guard MatchConditions.covers(uri, narrow.uri), MatchConditions.covers(scheme, narrow.scheme),
            MatchConditions.covers(method, narrow.method),
            MatchConditions.covers(authority, narrow.authority)
        else { return false }
        guard sourceNamespace.isEmpty || sourceNamespace == narrow.sourceNamespace, gateways.isSuperset(of: narrow.gateways),
            sourceLabels.allSatisfy({ narrow.sourceLabels[$0.key] == $0.value })
        else { return false }
        return MatchConditions.covers(headers, narrow.headers) && MatchConditions.covers(queryParameters, narrow.queryParameters)
            && withoutHeaders.allSatisfy { name, excluded in narrow.rulesOut(name, excluded) }
    }

    /// Whether no request of this match has the header with a value that `excluded` takes.
    private func rulesOut(_ name: String, _ excluded: TextCondition) -> Bool {
        if let own = withoutHeaders[name], own.covers(excluded) { return true }
        // A header of another value is there, so the excluded one is not.
        if let own = headers[name], own.excludes(excluded) { return true }
        return false
    }

    private static func covers(_ wide: TextCondition?, _ narrow: TextCondition?) -> Bool {
        guard let wide else { return true }
        // Every request has a path, a method, a scheme and an authority.
        if wide.kind == .present { return true }
        return narrow.map { wide.covers($0) } ?? false
    }

    private static func covers(_ wide: [String: TextCondition], _ narrow: [String: TextCondition]) -> Bool {
        wide.allSatisfy { name, condition in narrow[name].map { condition.covers($0) } ?? false }
    }
}

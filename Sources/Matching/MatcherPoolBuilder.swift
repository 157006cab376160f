public import Primitives

/// What a pool points into. Whoever hands out matchers keeps it; freed with its last holder.
public struct MatcherMemory: ~Copyable {
    public let pool: MatcherPool
    private let arena: TableArena
    /// Keeps the compiled expressions.
    private let regexes: RegexOwner

    init(text: [UInt8], pieces: [PathPiece], _ regexes: RegexOwner) {
        var arena = TableArena()
        let rows = MatcherRows(text: arena.table(text), regexes: regexes.table(in: &arena), pieces: arena.table(pieces))
        pool = unsafe MatcherPool(arena.place(rows))
        self.regexes = regexes
        self.arena = arena
    }
}

/// Makes matchers. Off the request path: it allocates and compiles. A copy shares the compiled expressions, so only one copy is built upon.
public struct MatcherPoolBuilder {
    var text = GrowingTable<UInt8>()
    var pieces = GrowingTable<PathPiece>()
    let regexes = RegexOwner()

    public init() {}

    public mutating func addExact(_ wanted: String, ignoringCase: Bool = false) -> StringMatcher {
        addLiteral(.exact, wanted, ignoringCase)
    }

    public mutating func addPrefix(_ wanted: String, ignoringCase: Bool = false) -> StringMatcher {
        addLiteral(.prefix, wanted, ignoringCase)
    }

    public mutating func addSuffix(_ wanted: String, ignoringCase: Bool = false) -> StringMatcher {
        addLiteral(.suffix, wanted, ignoringCase)
    }

    private mutating func addLiteral(_ kind: StringMatcher.Kind, _ wanted: String, _ ignoresCase: Bool) -> StringMatcher {
        var matcher = StringMatcher()
        matcher.kind = kind
        matcher.ignoresCase = ignoresCase
        matcher.text = text.add(text: ignoresCase ? wanted.lowercased() : wanted)
        return matcher
    }

    /// The matcher of a pattern in RE2's syntax (github.com/google/re2/wiki/Syntax), and why it is none. One with a problem never holds.
    public mutating func addRegex(_ pattern: String) -> (matcher: StringMatcher, problem: String?) {
        var matcher = StringMatcher()
        matcher.kind = .regex
        let (index, problem) = regexes.add(pattern)
        matcher.regex = index
        return (matcher, problem)
    }

    /// A change of a text by a pattern, and all that is wrong with it: one with a problem changes nothing.
    public mutating func addRewrite(
        _ pattern: String, by replacement: String
    ) -> (rewrite: RegexRewrite, problems: [RegexRewrite.Problem]) {
        let (index, problem) = regexes.add(pattern)
        var problems = problem.map { [RegexRewrite.Problem.pattern($0)] } ?? []
        if !regexes.accepts(index, replacement: replacement) { problems.append(.unknownGroup) }
        return (RegexRewrite(regex: index, text: text.add(text: replacement)), problems)
    }

    /// `name`: of a header field in lower case, or of a query parameter. `isNegated`: must not match.
    public mutating func addNamed(_ name: String, _ matcher: StringMatcher, isNegated: Bool = false) -> NamedMatcher {
        NamedMatcher(name: text.add(text: name), matcher: matcher, isNegated: isNegated)
    }

    /// `example.com`, `*.example.com` or `*`.
    public mutating func addHost(_ pattern: String) -> HostPattern {
        let isSuffix = pattern.hasPrefix("*")
        return HostPattern(text: text.add(text: isSuffix ? String(pattern.dropFirst()) : pattern), isSuffix: isSuffix)
    }

    /// A path with `{*}` and `{**}` in it, see `PathTemplate`.
    public mutating func addPathTemplate(_ template: String) throws(PathTemplate.Invalid) -> PathTemplate {
        let parsed = try PathTemplate.parse(template)
        return PathTemplate(pieces: pieces.add(contentsOf: parsed.map { PathPiece(kind: $0.kind, text: text.add(text: $0.text)) }))
    }

    /// The wanted text of a matcher made here, as long as `body` runs.
    public func withText<Result>(_ matcher: StringMatcher, _ body: (LentBytes) -> Result) -> Result { text.withBytes(matcher.text, body) }

    /// Copies what was made into memory of its own.
    public func finish() -> MatcherMemory { MatcherMemory(text: text.items, pieces: pieces.items, regexes) }
}

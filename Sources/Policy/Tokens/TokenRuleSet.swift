internal import JOSE
public import MeshConfig
public import Primitives
public import TelemetryModel

/// The RequestAuthentications of one workload, compiled: tables for requests, and what people are told of them. Any thread.
///
/// `@unchecked Sendable`: nothing of it is changed after `init`, the memory of its tables included.
@safe
public final class TokenRuleSet: @unchecked Sendable {
    /// What requests are judged by; good as long as the set.
    public let tables: TokenTables
    /// In the order in which they are asked.
    public let rules: [TokenRuleFacts]
    private let arena: TableArena

    init(_ rows: TokenRows, in arena: consuming TableArena, _ rules: [TokenRuleFacts], _ names: TokenFaultNames) {
        var arena = arena
        tables = unsafe TokenTables(TokenView(arena.place(rows)), names, isEmpty: rules.isEmpty)
        self.arena = arena
        self.rules = rules
    }

    /// Asks for nothing.
    public static let empty = RequestAuthenticationCompiler.empty()
}

/// A rule as people know it.
public struct TokenRuleFacts: Sendable {
    public var id: ResourceID
    /// Place in its resource.
    public var place: Int
    public var source: RequestAuthentication.Rule
    /// Row in `IssuerKeys`.
    public var keys: Int
}

/// The tables of a `TokenRuleSet`, by one pointer; copying it counts no reference. Whoever keeps one keeps the set for as long.
@safe
public struct TokenTables: BitwiseCopyable {
    let view: TokenView
    private let names: TokenFaultNames
    /// No token is looked for.
    public let isEmpty: Bool

    init(_ view: TokenView, _ names: TokenFaultNames, isEmpty: Bool) {
        self.view = view
        self.names = names
        self.isEmpty = isEmpty
    }

    /// The name of a refusal's reason, as response code details have it: `Jwt_is_expired`.
    public func name(of refusal: TokenRefusal) -> NameID { names[refusal] }

    /// Whether a header is one that rules write, and clients must not.
    public func ownsHeader(_ name: LentBytes) -> Bool {
        let rows = view.rows
        for index in 0..<rows.ownHeaders.count where rows.text.bytes(rows.ownHeaders[index]).equalsIgnoringCase(name) { return true }
        return false
    }

    /// Whether rules write headers at all.
    public var writesHeaders: Bool { view.rows.ownHeaders.count > 0 }
}

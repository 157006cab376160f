public import Primitives

/// One value of a verified token: where it stands in the payload, and what it says (RFC 7519 section 4).
///
/// A list has an entry for each of its values. Objects have none of their own; what is in them has.
public struct ClaimEntry: BitwiseCopyable {
    public enum Kind: UInt8, BitwiseCopyable {
        case string
        /// As written in the token.
        case number
        /// `true` or `false`.
        case boolean
        /// The whole of a text whose words have entries of their own; what is compared are the words.
        case words
    }

    public var kind: Kind
    /// One of several values of a list.
    public var isListed: Bool
    /// Names of members with a NUL between them, in the text of the claims.
    public var path: TableRange
    public var value: TableRange

    public init(kind: Kind, isListed: Bool, path: TableRange, value: TableRange) {
        self.kind = kind
        self.isListed = isListed
        self.path = path
        self.value = value
    }
}

/// What a `ClaimsView` points to.
@unsafe
struct ClaimsRows: BitwiseCopyable {
    var entries = unsafe UnsafeBufferPointer<ClaimEntry>(start: nil, count: 0)
    var text = LentBytes()
    var principal = LentBytes()
}

/// Who a request's verified token is about, and all that it claims; lent for the time of a call. Without a token nothing is there.
@safe
public struct ClaimsView: BitwiseCopyable {
    @unsafe private let rows: UnsafePointer<ClaimsRows>?

    /// No token.
    public init() { unsafe rows = nil }

    /// All memory must stay as it is for as long as the view is read.
    @unsafe
    init(_ rows: UnsafePointer<ClaimsRows>?) { unsafe self.rows = unsafe rows }

    /// A token was verified.
    public var isThere: Bool { unsafe rows != nil }
    /// `ISSUER/SUBJECT` (semantics 2.9); empty when the token lacks one of them, and without a token.
    public var principal: LentBytes { unsafe rows?.pointee.principal ?? LentBytes() }

    public var count: Int { unsafe rows?.pointee.entries.count ?? 0 }

    public subscript(index: Int) -> ClaimEntry {
        precondition(index >= 0 && index < count, "a claim outside of the token")
        return unsafe rows.unsafelyUnwrapped.pointee.entries[index]
    }

    private var allText: LentBytes { unsafe rows?.pointee.text ?? LentBytes() }

    public func pathText(_ entry: ClaimEntry) -> LentBytes { allText[entry.path.indices] }
    public func valueText(_ entry: ClaimEntry) -> LentBytes { allText[entry.value.indices] }

    /// The first entry from `start` on that stands at a path; nil = none does.
    public func entryIndex(at path: LentBytes, from start: Int = 0) -> Int? {
        var index = start
        while index < count {
            let entry = self[index]
            if entry.path.count == UInt32(truncatingIfNeeded: path.count), pathText(entry) == path { return index }
            index += 1
        }
        return nil
    }
}

extension ClaimsView {
    /// What stands at a path, for people; nil = nothing. Allocates.
    public func shownValues(at path: LentBytes) -> String? {
        var values: [String] = []
        var place = entryIndex(at: path)
        while let index = place {
            values.append(valueText(self[index]).text)
            place = entryIndex(at: path, from: index + 1)
        }
        return values.isEmpty ? nil : values.joined(separator: ", ")
    }
}

/// Where a claim stands in a token's payload.
public enum ClaimPath {
    /// Between the names of members. A name with one in it is never matched.
    public static let separator: UInt8 = 0
    /// What begins a header of a VirtualService's match that is no header (Istio: JWT claim based routing).
    public static let headerPrefix = "@request.auth.claims"

    /// The path as entries have it.
    public static func joined(_ names: [String]) -> String { names.joined(separator: "\0") }

    /// The names of `@request.auth.claims.a.b`, `@request.auth.claims[a][b]`; nil when it is none.
    public static func names(ofHeader header: String) -> [String]? {
        guard header.hasPrefix(headerPrefix) else { return nil }
        let rest = String(header.dropFirst(headerPrefix.count))
        if rest.hasPrefix(".") {
            let names = rest.dropFirst().split(separator: ".", omittingEmptySubsequences: false).map(String.init)
            return names.allSatisfy(isName) ? names : nil
        }
        return names(inBrackets: rest)
    }

    private static func isName(_ text: String) -> Bool { !text.isEmpty && text.allSatisfy { $0 != "[" && $0 != "]" } }

    /// The names of `[a][b]`; nil when it is none.
    public static func names(inBrackets text: String) -> [String]? {
        guard text.hasPrefix("["), text.hasSuffix("]") else { return nil }
        let names = text.dropFirst().dropLast().split(separator: "][", omittingEmptySubsequences: false).map(String.init)
        return names.allSatisfy(isName) ? names : nil
    }
}

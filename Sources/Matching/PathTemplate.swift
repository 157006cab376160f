public import Primitives

/// A path in which `{*}` stands for one segment and `{**}` for any number of them, none included: `/users/{*}/files/{**}`.
///
/// Rules of Istio (reference: AuthorizationPolicy, `Operation.paths`) and Envoy (`uri_template_match`): an operator is a whole segment;
/// `{**}` is the last operator, behind which only text may stand; `*` outside of an operator is an error. We differ from Envoy in one
/// thing: it lets an operator stand for the characters that a path may have unescaped (RFC 3986 3.3), we for all but the slash.
public struct PathTemplate: Sendable, BitwiseCopyable {
    /// `PathPiece`s of the pool.
    let pieces: TableRange

    /// Why a text is no template.
    public enum Invalid: Error, Hashable, Sendable, CustomStringConvertible {
        case noSlashFirst
        /// `/a{*}`, `/{*}.txt`, `/*` or `/{x}`.
        case operatorIsNoSegment
        /// `/{**}/{*}`.
        case operatorBehindRest

        public var description: String {
            switch self {
            case .noSlashFirst: "a path template starts with a slash"
            case .operatorIsNoSegment: "{*} and {**} stand between slashes, and no other braces or stars may be there"
            case .operatorBehindRest: "{**} is the last operator"
            }
        }
    }

    /// The pieces in their order; neighbouring literals are one.
    static func parse(_ template: String) throws(Invalid) -> [(kind: PathPiece.Kind, text: String)] {
        guard template.hasPrefix("/") else { throw .noSlashFirst }
        var pieces: [(kind: PathPiece.Kind, text: String)] = []
        var literal = ""
        var hasRest = false
        for segment in template.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            literal += "/"
            guard segment == "{*}" || segment == "{**}" else {
                guard !segment.contains(where: { "{}*".contains($0) }) else { throw .operatorIsNoSegment }
                literal += segment
                continue
            }
            guard !hasRest else { throw .operatorBehindRest }
            hasRest = segment == "{**}"
            pieces.append((.literal, literal))
            pieces.append((hasRest ? .rest : .segment, ""))
            literal = ""
        }
        if !literal.isEmpty { pieces.append((.literal, literal)) }
        return pieces
    }
}

extension MatcherPool {
    /// Whether the whole path is meant; `path` is without its query. Costs one pass over it.
    public func test(_ template: PathTemplate, _ path: LentBytes) -> Bool {
        var start = 0
        for index in template.pieces.indices {
            let piece = rows.pieces[index]
            switch piece.kind {
            case .literal:
                guard path.from(start).hasPrefix(rows.text.bytes(piece.text)) else { return false }
                start += Int(piece.text.count)
            case .segment:
                let end = path.index(of: UInt8(ascii: "/"), from: start)
                guard end > start else { return false }
                start = end
            case .rest:
                let isLast = index + 1 == template.pieces.indices.upperBound
                return isLast || path.from(start).hasSuffix(rows.text.bytes(rows.pieces[index + 1].text))
            }
        }
        return start == path.count
    }
}

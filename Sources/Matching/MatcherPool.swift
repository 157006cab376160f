public import Primitives

/// Texts and regular expressions of many matchers. Good as long as the `MatcherMemory` it comes from; a copy counts no reference.
public struct MatcherPool: BitwiseCopyable {
    @usableFromInline let text: Table<UInt8>
    @usableFromInline let regexes: RegexTable
    @usableFromInline let pieces: Table<PathPiece>
}

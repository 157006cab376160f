internal import Primitives

/// Texts and regular expressions of many matchers, by one pointer. Good as long as the `MatcherMemory` it comes from; a copy counts no
/// reference.
@safe
public struct MatcherPool: BitwiseCopyable {
    private let address: UnsafePointer<MatcherRows>

    init(_ address: UnsafePointer<MatcherRows>) { unsafe self.address = unsafe address }

    /// Read in place.
    var rows: MatcherRows {
        @inline(__always)
        unsafeAddress { unsafe address }
    }
}

/// What a pool points to.
struct MatcherRows: BitwiseCopyable {
    let text: Table<UInt8>
    let regexes: RegexTable
    let pieces: Table<PathPiece>
}

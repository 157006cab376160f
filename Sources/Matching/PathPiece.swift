internal import Primitives

/// A part of a path template.
struct PathPiece: Sendable, BitwiseCopyable {
    enum Kind: UInt8, Sendable, BitwiseCopyable {
        case literal
        /// At least one byte, none of them a slash.
        case segment
        /// Anything; at most one literal follows.
        case rest
    }

    var kind: Kind
    /// Bytes in the pool.
    var text: TableRange
}

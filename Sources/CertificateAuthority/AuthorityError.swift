internal import TLS

/// Why an operation on an authority was not done, in words for people, with what to do about it.
public struct AuthorityError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// What was asked for cannot be.
        case input
        /// What stands in the directory is not an authority, or its time is over.
        case directory
        /// The system refused something: a right, room on the disk.
        case system
    }

    public var kind: Kind
    public var description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    /// What OpenSSL or a rule of certificates said.
    init(_ kind: Kind, _ attempt: String, _ error: TLSError) { self.init(kind, "\(attempt): \(error)") }
}

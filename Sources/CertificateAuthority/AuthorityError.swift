internal import TLS

/// Why an operation on an authority was not done, in words for people, with what to do about it.
public struct AuthorityError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// What was asked for cannot be.
        case input
        /// What stands in the directory is not an authority, or its time is over.
        case directory
        /// Whoever asks has not shown to be who the certificate is for.
        case unauthenticated
        /// Whoever asks is known, and may not have it.
        case forbidden
        /// The system refused something: a right, room on the disk.
        case system
    }

    public var kind: Kind
    public var description: String

    public init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    /// What OpenSSL or a rule of certificates said.
    init(_ kind: Kind, _ attempt: String, _ error: TLSError) { self.init(kind, "\(attempt): \(error)") }
}

internal import CSystem

/// What a Unix socket says to who cannot connect to it (unix(7)).
public enum UnixConnectError: Sendable, BitwiseCopyable {
    /// There is a socket, and nobody listens on it.
    case refused
    /// There is nothing at its path.
    case missing
    /// This user may not write to the socket or search a directory above it.
    case forbidden
    /// As many connections wait as its listener lets wait.
    case backlogFull

    /// Nil for what is no answer of a socket, such as a lack of descriptors.
    public init?(_ error: SystemError) {
        switch error.code {
        case ECONNREFUSED: self = .refused
        case ENOENT, ENOTDIR: self = .missing
        case EACCES, EPERM: self = .forbidden
        case EAGAIN: self = .backlogFull
        default: return nil
        }
    }

    /// The errno value that says it.
    public var code: Int32 {
        switch self {
        case .refused: ECONNREFUSED
        case .missing: ENOENT
        case .forbidden: EACCES
        case .backlogFull: EAGAIN
        }
    }
}

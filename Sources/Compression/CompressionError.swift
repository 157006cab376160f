/// Why content could not be unpacked.
public enum CompressionError: Error, Sendable, Equatable {
    case malformed
    /// Larger than allowed once unpacked; nothing of it was kept.
    case tooLarge
}

/// What a request's tokens come to.
public enum TokenDecision: BitwiseCopyable {
    /// It has none, and needs none: it may go on, and is nobody's.
    case absent
    /// The first rule in order that took it; who it is and what it claims is in the authenticator.
    case verified(rule: Int)
    case refused(TokenRefusal)
    /// Keys are on their way.
    case waits
}

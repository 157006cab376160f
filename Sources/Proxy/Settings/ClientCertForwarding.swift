/// What becomes of `x-forwarded-client-cert`: Istio's `forwardClientCertDetails`, which are Envoy's.
public enum ClientCertForwarding: UInt8, Sendable, BitwiseCopyable {
    /// It is removed.
    case sanitize
    /// What came with mutual TLS goes on as it is.
    case forwardOnly
    /// With mutual TLS the client's certificate is added behind what came.
    case appendForward
    /// With mutual TLS the client's certificate takes the place of what came.
    case sanitizeSet
    /// What came goes on, whoever sent it.
    case alwaysForwardOnly

    /// What is done with one request's field.
    enum Action: UInt8, BitwiseCopyable {
        case remove, keep, append, replace
    }

    /// `isMutual`: the client has shown a certificate. Whoever has not cannot have anything forwarded in his name, but for the last.
    func action(isMutual: Bool) -> Action {
        switch self {
        case .sanitize: .remove
        case .forwardOnly: isMutual ? .keep : .remove
        case .appendForward: isMutual ? .append : .remove
        case .sanitizeSet: isMutual ? .replace : .remove
        case .alwaysForwardOnly: .keep
        }
    }
}

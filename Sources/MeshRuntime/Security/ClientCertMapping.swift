internal import MeshConfig
internal import Proxy

extension ClientCertForwarding {
    init(_ details: MeshSettings.ForwardClientCertDetails) {
        switch details {
        case .sanitize: self = .sanitize
        case .forwardOnly: self = .forwardOnly
        case .appendForward: self = .appendForward
        case .sanitizeSet: self = .sanitizeSet
        case .alwaysForwardOnly: self = .alwaysForwardOnly
        }
    }
}

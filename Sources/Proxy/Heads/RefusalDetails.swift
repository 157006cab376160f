internal import HTTP
internal import TelemetryModel

extension ResponseCodeDetails {
    /// What the record says of a request whose head was refused (RFC 9112 2.2, 3, 5, 6).
    init(_ error: HeadError) {
        self = switch error {
        case .headTooLarge: .requestHeadersTooLarge
        case .tooManyFields: .tooManyRequestHeaders
        case .targetTooLong: .requestURITooLong
        case .missingHost: .missingHostHeader
        case .unsupportedVersion: .lowVersion
        case .unsupportedTransferEncoding, .malformedTransferEncoding: .unsupportedTransferEncoding
        default: .http1CodecError
        }
    }
}

/// gRPC's status codes where HTTP has its own (gRPC "http-grpc-status-mapping").
enum GRPCStatus {
    /// The HTTP status that a gRPC code amounts to (Envoy's Grpc::Utility).
    static func http(_ code: UInt8) -> UInt16 {
        switch code {
        case 0: 200
        case 1: 499
        case 3, 9, 11: 400
        case 4: 504
        case 5: 404
        case 6, 10: 409
        case 7: 403
        case 8: 429
        case 12: 501
        case 14: 503
        case 16: 401
        default: 500
        }
    }

    static func code(forHTTP status: UInt16) -> UInt8 {
        switch status {
        case 400, 431: 13
        case 401: 16
        case 403: 7
        case 408: 4
        case 404: 12
        case 429, 502, 503, 504: 14
        default: 2
        }
    }
}

public import HTTP

/// Answers to unary gRPC calls. HTTP's status is 200 whatever came of the call; gRPC's stands in the trailers, or in the head where
/// nothing else follows.
extension ServiceResponse {
    public static let grpcContentType = "application/grpc"

    /// The call succeeded with `message`.
    public static func grpc(message: [UInt8]) -> ServiceResponse {
        let count = UInt32(clamping: message.count)
        var body: [UInt8] = [0, UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)]
        body.append(contentsOf: message)
        var response = ServiceResponse(status: 200, contentType: grpcContentType, body: body)
        response.trailers = [("grpc-status", "0")]
        return response
    }

    /// The call failed ("Trailers-Only").
    public static func grpc(_ code: GRPCCode, _ text: String, fields: [(name: String, value: String)] = []) -> ServiceResponse {
        let status = [(name: "grpc-status", value: "\(code.rawValue)"), (name: "grpc-message", value: GRPCFields.percentEncoded(text))]
        return ServiceResponse(status: 200, contentType: grpcContentType, headers: status + fields)
    }
}

/// The entries of this folder by their names, which are those of their corpora in Tests/Fixtures/Corpus. `Tools/fuzz` gives each to
/// libFuzzer, one file at a time; in every other build they are functions of this module, so that one which no longer compiles is noticed,
/// and Tests/FuzzTests runs them on their corpora.
public enum FuzzEntries {
    public static let all: [FuzzEntry] = [
        unsafe FuzzEntry("AccessLogFormat", fuzzAccessLogFormat),
        unsafe FuzzEntry("Base64URL", fuzzBase64URL),
        unsafe FuzzEntry("Certificate", fuzzCertificate),
        unsafe FuzzEntry("ChunkedBody", fuzzChunkedBody),
        unsafe FuzzEntry("GRPCFraming", fuzzGRPCFraming),
        unsafe FuzzEntry("HTTP1Connection", fuzzHTTP1Connection),
        unsafe FuzzEntry("HTTP2Session", fuzzHTTP2Session),
        unsafe FuzzEntry("HTTPHead", fuzzHTTPHead),
        unsafe FuzzEntry("JWKSet", fuzzJWKSet),
        unsafe FuzzEntry("JWT", fuzzJWT),
        unsafe FuzzEntry("MeshConfig", fuzzMeshConfig),
        unsafe FuzzEntry("OTLPJSON", fuzzOTLPJSON),
        unsafe FuzzEntry("OTLPMetrics", fuzzOTLPMetrics),
        unsafe FuzzEntry("OTLPMetricsJSON", fuzzOTLPMetricsJSON),
        unsafe FuzzEntry("OTLPTrace", fuzzOTLPTrace),
        unsafe FuzzEntry("ProtocolSniffer", fuzzProtocolSniffer),
        unsafe FuzzEntry("RemoteWrite", fuzzRemoteWrite),
        unsafe FuzzEntry("RequestPath", fuzzRequestPath),
        unsafe FuzzEntry("RequestTarget", fuzzRequestTarget),
        unsafe FuzzEntry("SPIFFEID", fuzzSPIFFEID),
        unsafe FuzzEntry("SeriesIdentity", fuzzSeriesIdentity),
        unsafe FuzzEntry("TraceContext", fuzzTraceContext),
        unsafe FuzzEntry("TraceQL", fuzzTraceQL),
        unsafe FuzzEntry("ZipkinJSON", fuzzZipkinJSON),
        unsafe FuzzEntry("ZipkinJSONV1", fuzzZipkinJSONV1),
        unsafe FuzzEntry("ZipkinProtobuf", fuzzZipkinProtobuf),
        unsafe FuzzEntry("ZipkinQuery", fuzzZipkinQuery),
    ]
}

/// One of them. What must not be ends the process.
@safe
public struct FuzzEntry: Sendable {
    public let name: String
    private let entry: @Sendable (UnsafePointer<UInt8>, Int) -> CInt

    init(_ name: String, _ entry: @escaping @Sendable (UnsafePointer<UInt8>, Int) -> CInt) {
        self.name = name
        unsafe self.entry = unsafe entry
    }

    /// Reads one input, at an address of its own that nothing stands behind.
    public func run(_ bytes: [UInt8]) {
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
        defer { unsafe room.deallocate() }
        for (place, byte) in bytes.enumerated() { unsafe room[place] = byte }
        _ = unsafe entry(room, bytes.count)
    }
}

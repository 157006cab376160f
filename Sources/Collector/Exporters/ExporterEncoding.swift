public import TelemetryModel

/// How an exporter's batches become requests of a protocol: body, fields, and what an answer means. Zipkin JSON is one (`ZipkinEncoding`);
/// OTLP and Prometheus remote write are others.
///
/// Used on the exporter's thread only, once for each request.
public protocol ExporterEncoding<Batch>: Sendable {
    associatedtype Batch: TelemetryBatch

    /// A word, at most eight letters: the exporter's thread is called after it.
    var name: String { get }
    /// Where the protocol's servers usually take requests; `ExporterSettings.path` has the last word.
    var path: String { get }
    /// Further fields of each request besides Host, Content-Length and User-Agent, such as Content-Type and Content-Encoding.
    var fields: [(name: String, value: String)] { get }

    /// Appends the body of one request with everything in `batches`.
    func append(_ batches: [Batch], to body: inout [UInt8])
    /// Appends a body for a receiver that took the request for malformed (400), as an older one does with parts that it does not know;
    /// false = there is no other form. What it leaves out is lost.
    func appendPlainer(_ batches: [Batch], to body: inout [UInt8]) -> Bool
    /// Such a body was accepted. What is to be said of it the first time, for people; nil = nothing.
    func notePlainer() -> String?
    /// What an answer's status says about the request.
    func verdict(status: UInt16) -> ExporterVerdict
    /// Whether `readAnswer` wants the bodies of answers.
    var readsAnswers: Bool { get }
    /// The body of an accepted request's answer, when it came whole and has `ExporterConnection.bodyBytesMax` at most; else empty.
    func readAnswer(_ body: [UInt8])
}

/// What is done after an answer.
public enum ExporterVerdict: Sendable, Equatable {
    case accepted
    /// For good: the same request would be refused again.
    case rejected
    /// For now: it is sent again after a pause.
    case retried
}

extension ExporterEncoding {
    public func appendPlainer(_ batches: [Batch], to body: inout [UInt8]) -> Bool { false }
    public func notePlainer() -> String? { nil }
    public var readsAnswers: Bool { false }
    public func readAnswer(_ body: [UInt8]) {}

    /// As Zipkin, OTLP/HTTP (semantics 2.12) and remote write have it: 408, 429 and 5xx pass, any other error does not.
    public func verdict(status: UInt16) -> ExporterVerdict {
        switch status {
        case 200..<300: .accepted
        case 408, 429, 500...: .retried
        default: .rejected
        }
    }
}

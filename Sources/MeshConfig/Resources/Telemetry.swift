/// Access logging, tracing and metrics settings for the mesh (root namespace), a namespace or some workloads.
public struct Telemetry: Sendable {
    public enum Mode: String, Sendable {
        case clientAndServer = "CLIENT_AND_SERVER", client = "CLIENT", server = "SERVER"

        public var coversClient: Bool { self != .server }
        public var coversServer: Bool { self != .client }
    }

    public struct AccessLogging: Sendable {
        public var position: SourcePosition
        public var mode: Mode
        /// Empty = inherited.
        public var providers: [String]
        public var disabled: Bool?
        /// CEL text, empty = none. Not in effect.
        public var filterExpression: String
    }

    public struct Tracing: Sendable {
        public var position: SourcePosition
        public var mode: Mode
        public var providers: [String]
        /// 0...100, in steps of 0.01 %.
        public var randomSamplingPercentage: Double?
        public var disableSpanReporting: Bool?
    }

    public var id: ResourceID
    public var position: SourcePosition
    public var attachment: PolicyAttachment
    public var accessLogging: [AccessLogging]
    public var tracing: [Tracing]
}

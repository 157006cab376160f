public import TelemetryModel
public import TelemetryWire

/// Which headers the workers capture, over the life of the process.
///
/// Workers adopt a configuration each in its own time, and records written before wait in the rings, so the collector meets records of
/// several captures at once. A record says only how many text slots it has. Therefore a capture only ever grows: every change adds at
/// least one header, the number of slots tells captures apart, and formats are bound to each of them.
///
/// Owned by the control thread, which keeps one for the life of the process and passes it to every `CollectorPlan`.
public struct CaptureHistory: Sendable {
    /// All captures so far, oldest first; each has more slots than the one before, except after a restart (see `adopt`).
    public private(set) var captures = [HeaderCapture()]

    public init() {}

    /// What the workers have to capture now.
    public var current: HeaderCapture { captures[captures.count - 1] }

    /// Adds what `formats` need and returns the capture for the workers.
    ///
    /// When the sum of all times exceeds `HeaderCapture.countMax`, headers no longer asked for are given up, and records of an earlier
    /// capture with the same number of slots are taken for the new one: for the moment of the change, a line may show a header's value
    /// under another's name.
    public mutating func adopt(_ formats: [AccessLogFormat]) throws(CollectorPlanError) -> HeaderCapture {
        var wanted = HeaderCapture()
        for format in formats { Self.merge(format.headers, into: &wanted) }
        guard Self.count(wanted) <= HeaderCapture.countMax else { throw .tooManyHeaders(Self.count(wanted)) }
        var grown = current
        Self.merge(wanted, into: &grown)
        if grown == current { return grown }
        if Self.count(grown) > HeaderCapture.countMax {
            grown = wanted
            captures.removeAll { Self.count($0) == Self.count(wanted) }
        }
        captures.append(grown)
        return grown
    }

    static func count(_ capture: HeaderCapture) -> Int { capture.requestHeaders.count + capture.responseHeaders.count }

    private static func merge(_ source: HeaderCapture, into target: inout HeaderCapture) {
        for name in source.requestHeaders where !target.requestHeaders.contains(name) { target.requestHeaders.append(name) }
        for name in source.responseHeaders where !target.responseHeaders.contains(name) { target.responseHeaders.append(name) }
    }
}

public enum CollectorPlanError: Error, Equatable, CustomStringConvertible {
    case tooManyHeaders(Int)

    public var description: String {
        switch self {
        case .tooManyHeaders(let count):
            "the access-log formats print \(count) different headers; at most \(HeaderCapture.countMax) are accepted, use fewer"
        }
    }
}

/// What to do with records: plain values that the composition root makes from the configuration. Replaced whole.
public struct CollectorPlan: Sendable {
    /// An access log: where its lines go and what they look like. Several outputs with the same path share one file.
    public struct Output: Sendable {
        /// A file's path, or `/dev/stdout` or `/dev/stderr`.
        public var path: String
        public var format: AccessLogFormat

        public init(path: String, format: AccessLogFormat) {
            self.path = path
            self.format = format
        }
    }

    /// What is done with the records of one side of the proxy.
    public struct Side: Sendable {
        public var outputs: [Output]
        /// Who the proxy's spans are from; nil = no spans are made.
        public var spans: ProxySpanIdentity?
        /// Where this side's spans go besides the sink. Exporters are started and stopped by their owner.
        public var exporters: [Exporter<SpanBatch>]

        public init(outputs: [Output] = [], spans: ProxySpanIdentity? = nil, exporters: [Exporter<SpanBatch>] = []) {
            self.outputs = outputs
            self.spans = spans
            self.exporters = exporters
        }
    }

    struct Bound: Sendable {
        let path: String
        /// The format bound to each capture; the index is the number of captured slots. Nil where no capture has as many.
        let programs: [AccessLogProgram?]
    }

    struct BoundSide: Sendable {
        var outputs: [Bound] = []
        var builder: ProxySpanBuilder?
        var exporters: [Exporter<SpanBatch>] = []
    }

    /// What the workers have to capture for this plan.
    public let capture: HeaderCapture
    /// What the workers have to note of secured connections for it.
    public let connections: ConnectionTextChoice
    let outbound: BoundSide
    let inbound: BoundSide

    /// Everybody that either side's spans go to, once.
    public var exporters: [Exporter<SpanBatch>] {
        outbound.exporters + inbound.exporters.filter { one in !outbound.exporters.contains { $0 === one } }
    }

    /// Binds the formats to `history`, which grows by what they need.
    public init(outbound: Side, inbound: Side, history: inout CaptureHistory) throws(CollectorPlanError) {
        capture = try history.adopt((outbound.outputs + inbound.outputs).map(\.format))
        var connections = ConnectionTextChoice.standard
        for output in outbound.outputs + inbound.outputs { connections.formUnion(output.format.connections) }
        if outbound.spans != nil || inbound.spans != nil { connections.formUnion(ProxySpanBuilder.connections) }
        self.connections = connections
        self.outbound = Self.bind(outbound, history)
        self.inbound = Self.bind(inbound, history)
    }

    /// No log and no spans.
    public init() {
        capture = HeaderCapture()
        connections = .standard
        outbound = BoundSide()
        inbound = BoundSide()
    }

    private static func bind(_ side: Side, _ history: CaptureHistory) -> BoundSide {
        let outputs = side.outputs.map { output in
            var programs = [AccessLogProgram?](repeating: nil, count: HeaderCapture.countMax + 1)
            for capture in history.captures { programs[CaptureHistory.count(capture)] = output.format.program(capture: capture) }
            return Bound(path: output.path, programs: programs)
        }
        return BoundSide(outputs: outputs, builder: side.spans.map { ProxySpanBuilder(identity: $0) }, exporters: side.exporters)
    }
}

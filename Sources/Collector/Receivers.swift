internal import Compression
public import HTTPService
internal import Primitives
internal import Synchronization
public import TelemetryModel
internal import TelemetryWire

/// Bounds of the receivers.
public struct ReceiverLimits: Sendable {
    /// A body after content decoding (OTLP's recommendation); more is 413.
    public var bodyBytesMax = 64 << 20
    /// Batches kept for reuse, and the largest text arena that one may keep.
    public var batchesKept = 8
    public var batchBytesKept = 4 << 20
    /// Buffers of gRPC messages kept for reuse, and the largest that is.
    public var messagesKept = 8
    public var messageBytesKept = 1 << 20
    /// Decompression memory kept between requests.
    public var scratchBytesKept = 4 << 20

    public init() {}
}

/// The endpoints that take spans from others: Zipkin's JSON of both versions, its protobuf, OTLP over HTTP and over gRPC.
///
/// A body is decoded on the server's thread, straight from the connection's buffer, and answered when the sink has stored it. May be
/// used by several servers at once.
public final class Receivers: Sendable {
    let sink: any SpanSink
    let limits: ReceiverLimits
    let zipkin: ReceiverCounters
    let otlp: ReceiverCounters
    let otlpGRPC: ReceiverCounters
    let batches: BatchPool
    let messages: MessagePool
    private let scratch = Mutex<[UInt8]?>([])
    private let exporters = Mutex<[ZipkinExporter]>([])

    public init(sink: any SpanSink, statistics: CollectorStatistics, limits: ReceiverLimits = ReceiverLimits()) {
        self.sink = sink
        self.limits = limits
        zipkin = ReceiverCounters("zipkin", statistics)
        otlp = ReceiverCounters("otlp", statistics)
        otlpGRPC = ReceiverCounters("otlp", transport: "grpc", statistics)
        messages = MessagePool(countMax: limits.messagesKept, bytesMax: limits.messageBytesKept)
        batches = BatchPool(countMax: limits.batchesKept, bytesMax: limits.batchBytesKept)
    }

    /// Where received spans go besides the sink; empty at first.
    public func forward(to exporters: [ZipkinExporter]) { self.exporters.withLock { $0 = exporters } }

    /// Answers a request to one of the receivers' paths; nil for any other path. A slash behind a path changes nothing.
    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        switch request.path.hasSuffix("/") ? String(request.path.dropLast()) : request.path {
        case "/api/v2/spans", "/zipkin/api/v2/spans":
            // The same path with GET is the query API's list of span names.
            if ["GET", "HEAD"].contains(ReceiverCrossOrigin.method(request)) { return nil }
            return handleZipkin(request, .v2, responder)
        case "/api/v1/spans", "/zipkin/api/v1/spans": return handleZipkin(request, .v1, responder)
        case "/v1/traces": return handleOTLP(request, responder)
        default: return nil
        }
    }

    // MARK: Shared by both

    enum BodyError: Error {
        case unknownCoding(String)
        case malformed(coding: String)
        case tooLarge

        var status: UInt16 {
            switch self {
            case .unknownCoding: 415
            case .malformed: 400
            case .tooLarge: 413
            }
        }

        func text(bytesMax: Int) -> String {
            switch self {
            case .unknownCoding(let coding): "Content-Encoding \(coding) is not supported; gzip, deflate, zstd and identity are"
            case .malformed(let coding):
                "Cannot \(coding == "zstd" ? "unpack" : "gunzip") spans: the body is not what its Content-Encoding says"
            case .tooLarge: "the body is too large; \(bytesMax) bytes are accepted after decompression"
            }
        }
    }

    /// Lends the decompressed body to `use`.
    func withBody<Result>(
        _ request: borrowing ServiceRequest, _ use: (UnsafeRawBufferPointer) -> Result
    ) throws(BodyError) -> Result {
        unsafe try withUnpacked(request.body, coding: (request.header("content-encoding") ?? "").lowercased(), use)
    }

    /// Lends what `body` unpacks to. `coding` is in lower case.
    func withUnpacked<Result>(
        _ body: UnsafeRawBufferPointer, coding: String, _ use: (UnsafeRawBufferPointer) -> Result
    ) throws(BodyError) -> Result {
        switch coding {
        case "", "identity":
            guard body.count <= limits.bodyBytesMax else { throw .tooLarge }
            return unsafe use(body)
        case "gzip", "x-gzip", "deflate", "zstd":
            // Some clients say gzip about no body at all.
            if body.count == 0 { return unsafe use(body) }
            var bytes = scratch.withLock { kept -> [UInt8] in
                let bytes = kept ?? []
                kept = nil
                return bytes
            }
            bytes.removeAll(keepingCapacity: true)
            defer {
                let isKept = bytes.capacity <= limits.scratchBytesKept
                scratch.withLock { $0 = isKept ? bytes : [] }
            }
            do throws(CompressionError) {
                switch coding {
                case "zstd": unsafe try Zstd.decode(body, into: &bytes, bytesMax: limits.bodyBytesMax)
                default: unsafe try Gzip.decode(body, into: &bytes, bytesMax: limits.bodyBytesMax)
                }
            } catch {
                throw error == .tooLarge ? .tooLarge : .malformed(coding: coding)
            }
            return unsafe bytes.withUnsafeBytes { unsafe use($0) }
        default: throw .unknownCoding(String(coding.prefix(64)))
        }
    }

    /// Hands the batch over; `answer` is called on any thread with what came of it. A request whose batch is stored counts in `request`.
    func submit(
        _ batch: SpanBatch, _ counters: ReceiverCounters, request: CollectorCounter, _ answer: @escaping @Sendable (SpanRejection?) -> Void
    ) {
        let count = batch.spans.count
        let exporters = exporters.withLock { $0 }
        // Shares the sink's memory: forwarded once the sink has it (a sender whose batch was refused comes back with it), else used again.
        let kept = batch
        sink.submit(batch) { [batches] result in
            defer { if exporters.isEmpty { batches.give(kept) } }
            switch result {
            case .success:
                for exporter in exporters { exporter.offer(kept) }
                request.add()
                counters.spans.add(count)
                answer(nil)
            case .failure(let rejection):
                switch rejection {
                case .overloaded:
                    counters.overloaded.add()
                    counters.spansOverloaded.add(count)
                case .unavailable:
                    counters.unavailable.add()
                    counters.spansUnavailable.add(count)
                }
                answer(rejection)
            }
        }
    }

    static func retryAfterSeconds(_ rejection: SpanRejection) -> UInt64 {
        switch rejection {
        case .overloaded: 1
        case .unavailable: 5
        }
    }

    static func text(_ rejection: SpanRejection) -> String {
        switch rejection {
        case .overloaded: "the store is busy; nothing of the request was kept, send it again"
        case .unavailable(let reason): "the store is unavailable (\(reason)); nothing of the request was kept, send it again later"
        }
    }
}

/// What became of the requests to one receiver, and of the spans in them. Every span of a body that could be read counts once, as stored
/// or under the reason it was not; of a body that could not, nobody knows how many there were.
struct ReceiverCounters: Sendable {
    let bytes, spans: CollectorCounter
    let accepted, partial, malformed, unsupported, tooLarge, overloaded, unavailable, expired: CollectorCounter
    let spansInvalid, spansOverloaded, spansUnavailable: CollectorCounter
    /// Of spans that were stored.
    let attributesDropped, eventsDropped, linksDropped, valuesDropped: CollectorCounter

    init(_ receiver: String, transport: String = "http", _ statistics: CollectorStatistics) {
        let base = [(name: "receiver", value: receiver), (name: "transport", value: transport)]
        func requests(_ outcome: String) -> CollectorCounter { statistics.counter(.requests, base + [(name: "outcome", value: outcome)]) }
        func rejected(_ reason: String) -> CollectorCounter { statistics.counter(.rejected, base + [(name: "reason", value: reason)]) }
        bytes = statistics.counter(.receivedBytes, base)
        spans = statistics.counter(.received, base)
        accepted = requests("accepted")
        partial = requests("partial")
        malformed = requests("malformed")
        unsupported = requests("unsupported")
        tooLarge = requests("too_large")
        overloaded = requests("overloaded")
        unavailable = requests("unavailable")
        expired = requests("deadline_exceeded")
        func dropped(_ part: String) -> CollectorCounter { statistics.counter(.partsDropped, base + [(name: "part", value: part)]) }
        attributesDropped = dropped("attributes")
        eventsDropped = dropped("events")
        linksDropped = dropped("links")
        valuesDropped = dropped("values")
        spansInvalid = rejected("invalid")
        spansOverloaded = rejected("overloaded")
        spansUnavailable = rejected("unavailable")
    }

    /// Where a request counts whose body could be read and whose good spans are stored.
    func requests(stored: Int, refused: Int) -> CollectorCounter {
        if refused == 0 { return accepted }
        return stored == 0 ? malformed : partial
    }

    func count(_ error: Receivers.BodyError) {
        switch error {
        case .unknownCoding: unsupported.add()
        case .malformed: malformed.add()
        case .tooLarge: tooLarge.add()
        }
    }
}

/// Batches whose memory is used again. Any thread.
///
/// A batch comes back while the sink may still hold a copy: arrays are copied on write, so the worst of it is an allocation.
final class BatchPool: Sendable {
    private let batches = Mutex<[SpanBatch]>([])
    private let countMax: Int
    private let bytesMax: Int

    init(countMax: Int, bytesMax: Int) {
        self.countMax = countMax
        self.bytesMax = bytesMax
    }

    func take() -> SpanBatch {
        var batch = batches.withLock { $0.popLast() } ?? SpanBatch()
        batch.removeAll()
        return batch
    }

    func give(_ batch: SpanBatch) {
        let bytes = batch.text.capacity + batch.tags.capacity * MemoryLayout<TagRow>.stride + batch.spans.capacity * MemoryLayout<SpanRow>.stride
        guard bytes > 0, bytes <= bytesMax else { return }
        batches.withLock { if $0.count < countMax { $0.append(batch) } }
    }
}

/// Buffers for messages that are collected as they come. Any thread.
final class MessagePool: Sendable {
    private let buffers = Mutex<[[UInt8]]>([])
    private let countMax: Int
    private let bytesMax: Int

    init(countMax: Int, bytesMax: Int) {
        self.countMax = countMax
        self.bytesMax = bytesMax
    }

    func take() -> [UInt8] { buffers.withLock { $0.popLast() } ?? [] }

    func give(_ buffer: consuming [UInt8]) {
        guard buffer.capacity > 0, buffer.capacity <= bytesMax else { return }
        buffer.removeAll(keepingCapacity: true)
        buffers.withLock { [buffer] in if $0.count < countMax { $0.append(buffer) } }
    }
}

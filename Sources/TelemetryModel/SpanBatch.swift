/// Decoded spans in one piece of memory: what every receiver produces and the store takes.
///
/// All text lies in one arena and is named by `TextRef`; tags and annotations of a span are consecutive rows. A decoder
/// appends text, then the tags, annotations and endpoints that use it, then the span row. Nothing is interned or
/// deduplicated here: the store does that where it pays.
///
/// A batch may be reused: `removeAll()` keeps the capacity. It is a value; whoever holds it owns it.
public struct SpanBatch: TelemetryBatch {
    public static let signal = TelemetrySignal.spans

    /// UTF-8 bytes of every string in the batch, in no particular order, and perhaps bytes between them that no reference names: a
    /// decoder may put a whole body here and refer to the texts in it. At most `UInt32.max` bytes.
    public var text: [UInt8] = []
    public var spans: [SpanRow] = []
    /// Tags of all spans; a span's own are `tags[tagStart ..< tagStart + tagCount]`, in the order received, keys unique (last one wins).
    public var tags: [TagRow] = []
    /// Annotations of all spans, laid out like `tags`.
    public var annotations: [AnnotationRow] = []
    /// Endpoints that spans refer to by index; several spans may share one.
    public var endpoints: [EndpointRow] = []

    public init() {}

    public var itemCount: Int { spans.count }

    public var byteCount: Int {
        text.count + spans.count * MemoryLayout<SpanRow>.stride + tags.count * MemoryLayout<TagRow>.stride
            + annotations.count * MemoryLayout<AnnotationRow>.stride + endpoints.count * MemoryLayout<EndpointRow>.stride
    }

    public var capacityBytes: Int {
        text.capacity + tags.capacity * MemoryLayout<TagRow>.stride + spans.capacity * MemoryLayout<SpanRow>.stride
    }

    public mutating func removeAll() {
        text.removeAll(keepingCapacity: true)
        spans.removeAll(keepingCapacity: true)
        tags.removeAll(keepingCapacity: true)
        annotations.removeAll(keepingCapacity: true)
        endpoints.removeAll(keepingCapacity: true)
    }

    /// The text that `reference` names, as a String. For the edge (queries, tests), not for ingest.
    public func string(_ reference: TextRef) -> String {
        let start = Int(reference.offset)
        return String(decoding: text[start..<start + Int(reference.count)], as: UTF8.self)
    }

    /// Appends the UTF-8 of `string` to the arena. For the edge and for tests.
    public mutating func append(text string: String) -> TextRef {
        let offset = UInt32(clamping: text.count)
        text.append(contentsOf: string.utf8)
        return TextRef(offset: offset, count: UInt32(clamping: text.count) &- offset)
    }
}

/// Bytes `offset ..< offset + count` of a batch's text arena; a zero count is the empty string, which Zipkin treats as absent.
public struct TextRef: Hashable, Sendable, BitwiseCopyable {
    public var offset: UInt32
    public var count: UInt32

    @inlinable
    public init(offset: UInt32, count: UInt32) {
        self.offset = offset
        self.count = count
    }

    public static let empty = TextRef(offset: 0, count: 0)

    @inlinable public var isEmpty: Bool { count == 0 }
}

/// One span, in Zipkin v2's terms (semantics 2.11).
public struct SpanRow: Sendable, BitwiseCopyable {
    public var traceID: TraceID
    public var id: SpanID
    /// `.none` at the root.
    public var parentID: SpanID
    /// Start, microseconds since 1970; 0 = absent.
    public var timestamp: UInt64
    /// Microseconds, at least 1 when known; 0 = absent.
    public var duration: UInt64
    /// Lower-cased by the decoder; empty = absent.
    public var name: TextRef
    /// Index into `SpanBatch.endpoints`, or `EndpointRow.absent`.
    public var localEndpoint: UInt32
    public var remoteEndpoint: UInt32
    public var tagStart: UInt32
    public var tagCount: UInt32
    public var annotationStart: UInt32
    public var annotationCount: UInt32
    public var kind: SpanKind
    public var flags: SpanFlags

    @inlinable
    public init(traceID: TraceID, id: SpanID) {
        self.traceID = traceID
        self.id = id
        parentID = .none
        timestamp = 0
        duration = 0
        name = .empty
        localEndpoint = EndpointRow.absent
        remoteEndpoint = EndpointRow.absent
        tagStart = 0
        tagCount = 0
        annotationStart = 0
        annotationCount = 0
        kind = .unspecified
        flags = []
    }
}

public struct SpanFlags: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Zipkin's `debug: true`: sampled whatever anybody says.
    public static let debug = SpanFlags(rawValue: 1)
    /// Zipkin's `shared: true`: this server span has the same id as its client's.
    public static let shared = SpanFlags(rawValue: 2)
}

public struct TagRow: Sendable, BitwiseCopyable {
    public var key: TextRef
    public var value: TextRef

    @inlinable
    public init(key: TextRef, value: TextRef) {
        self.key = key
        self.value = value
    }
}

public struct AnnotationRow: Sendable, BitwiseCopyable {
    /// Microseconds since 1970.
    public var timestamp: UInt64
    public var value: TextRef

    @inlinable
    public init(timestamp: UInt64, value: TextRef) {
        self.timestamp = timestamp
        self.value = value
    }
}

/// A network endpoint of a span. Every part may be absent; an endpoint with no part is stored as `absent`.
public struct EndpointRow: Hashable, Sendable, BitwiseCopyable {
    /// The index that means "no endpoint".
    public static let absent = UInt32.max

    /// Lower-cased by the decoder; empty = absent.
    public var serviceName: TextRef
    /// Network order in the most significant byte first (10.0.0.1 = 0x0A000001); meaningful when `hasIPv4`.
    public var ipv4: UInt32
    public var ipv6High: UInt64
    public var ipv6Low: UInt64
    /// 0 = absent.
    public var port: UInt16
    public var hasIPv4: Bool
    public var hasIPv6: Bool

    @inlinable
    public init(serviceName: TextRef = .empty) {
        self.serviceName = serviceName
        ipv4 = 0
        ipv6High = 0
        ipv6Low = 0
        port = 0
        hasIPv4 = false
        hasIPv6 = false
    }
}

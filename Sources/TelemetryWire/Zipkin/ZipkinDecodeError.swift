/// Why a body of Zipkin's was refused, or one span in it.
public struct ZipkinDecodeError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Encoding: Sendable {
        case json, protobuf
    }

    public var fault: WireFault
    public var encoding: Encoding
    public var field: ZipkinField
    /// Which span of the list, from 0; nil before the first.
    public var spanIndex: Int?
    /// Byte offset in the body.
    public var byteOffset: Int

    /// For people, one line about a body: what, where, and what would have been accepted.
    public var description: String {
        switch fault {
        case .expectedList, .expectedListV1, .expectedListProtobuf, .receivedV1, .receivedV2: return fault.text
        default: break
        }
        var place = "byte \(byteOffset)"
        if let spanIndex { place += ", span \(spanIndex)" }
        if field != .none { place += ", field \(field.name)" }
        return "\(fault.text) at \(place) reading List<Span> from \(encoding == .json ? "json" : "proto3")"
    }

    /// The same about one span of a body whose other spans are kept.
    public var spanReason: String {
        var place = "span \(spanIndex ?? 0)"
        if field != .none { place += ", field \(field.name)" }
        return "\(place), byte \(byteOffset): \(fault.text)"
    }
}

/// The part of a span that a decoder was reading.
public enum ZipkinField: UInt8, Sendable, BitwiseCopyable {
    case none, traceID, parentID, id, kind, name, timestamp, duration, localEndpoint, remoteEndpoint, annotations, binaryAnnotations, tags
    case debug, shared

    public var name: String {
        switch self {
        case .none: "-"
        case .traceID: "traceId"
        case .parentID: "parentId"
        case .id: "id"
        case .kind: "kind"
        case .name: "name"
        case .timestamp: "timestamp"
        case .duration: "duration"
        case .localEndpoint: "localEndpoint"
        case .remoteEndpoint: "remoteEndpoint"
        case .annotations: "annotations"
        case .binaryAnnotations: "binaryAnnotations"
        case .tags: "tags"
        case .debug: "debug"
        case .shared: "shared"
        }
    }
}

internal import TelemetryModel

/// What one row of operations is about, in 64 bits: `service:24 operation:24 kind:8 status:8`. Texts are numbers of `InternedTexts`.
struct OperationKey {
    /// The number that stands for texts there was no room for; no text has it.
    static let overflowText = UInt32(InternedTexts.numberMax) + 1

    let packed: UInt64

    init(packed: UInt64) { self.packed = packed }

    init(_ service: UInt32, _ operation: UInt32, _ kind: SpanKind, _ status: SpanStatus) {
        packed = UInt64(service) << 40 | UInt64(operation) << 16 | UInt64(kind.rawValue) << 8 | UInt64(status.rawValue)
    }

    /// Of the row that has all operations there is no room for.
    @inline(__always)
    static func aboveBound(_ kind: SpanKind, _ status: SpanStatus) -> OperationKey {
        OperationKey(overflowText, overflowText, kind, status)
    }

    /// Tells a service's name from an operation's where both are the same.
    static let nameSalt: UInt64 = 0xD6E8_FEB8_6659_FD93

    var service: UInt32 { UInt32(packed >> 40) }
    var operation: UInt32 { UInt32(packed >> 16 & 0xFF_FFFF) }
    var kind: SpanKind { SpanKind(rawValue: UInt8(truncatingIfNeeded: packed >> 8)) ?? .unspecified }
    var status: SpanStatus { SpanStatus(rawValue: UInt8(truncatingIfNeeded: packed)) ?? .unset }
    var isOverflow: Bool { service == Self.overflowText }
}

/// What one row of edges is about: `client:24 server:24 connection:16`.
struct EdgeKey {
    let packed: UInt64

    init(packed: UInt64) { self.packed = packed }

    init(_ call: EdgeCall) {
        let isOverflow = call.client == OperationKey.overflowText || call.server == OperationKey.overflowText
        self = isOverflow ? .aboveBound(call.connection) : EdgeKey(call.client, call.server, call.connection)
    }

    private init(_ client: UInt32, _ server: UInt32, _ connection: EdgeConnection) {
        packed = UInt64(client) << 40 | UInt64(server) << 16 | UInt64(connection.rawValue)
    }

    /// Of the row that has all edges there is no room for.
    static func aboveBound(_ connection: EdgeConnection) -> EdgeKey {
        EdgeKey(OperationKey.overflowText, OperationKey.overflowText, connection)
    }

    var client: UInt32 { UInt32(packed >> 40) }
    var server: UInt32 { UInt32(packed >> 16 & 0xFF_FFFF) }
    var connection: EdgeConnection { EdgeConnection(rawValue: UInt8(truncatingIfNeeded: packed)) ?? .direct }
    var isOverflow: Bool { client == OperationKey.overflowText }
}

/// What the decoder found at the front of the input.
public enum GRPCFrameEvent: Equatable, Sendable {
    /// Everything given was used; more is needed, unless the message is complete.
    case needMore
    /// The next `count` bytes after the `consumed` ones belong to the message.
    case message(count: Int)
    case refused(GRPCFrameFault)
}

public enum GRPCFrameFault: Equatable, Sendable {
    /// The compressed-flag is neither 0 nor 1.
    case reservedFlag(UInt8)
    /// The message is longer than allowed, by its own account.
    case tooLarge(UInt32)
    /// Bytes behind the one message of a unary call.
    case secondMessage
}

/// Finds the one message of a unary call in a request's body, whatever the pieces it arrives in (gRPC over HTTP/2,
/// "Length-Prefixed-Message": a byte that says whether the message is compressed, its length in four bytes, the message).
public struct GRPCFraming: Sendable {
    public static let prefixBytes = 5

    private var prefixCount = 0
    private var remaining: UInt32 = 0
    private let bytesMax: UInt32
    /// As the prefix says; meaningful once `length` is there.
    public private(set) var isCompressed = false
    /// Of the message, once the prefix has come whole.
    public private(set) var length: UInt32?

    /// `bytesMax`: of the message as it is sent.
    public init(bytesMax: Int) { self.bytesMax = UInt32(clamping: bytesMax) }

    /// Whether the message has come whole; one of no bytes is whole with its prefix.
    public var isComplete: Bool { length != nil && remaining == 0 }

    /// Reads the prefix from the front of `input`, or says how much of what is there belongs to the message. Called again with what
    /// follows.
    @unsafe
    public mutating func next(_ input: UnsafeRawBufferPointer) -> (consumed: Int, event: GRPCFrameEvent) {
        var position = 0
        while length == nil, position < input.count {
            let byte = unsafe input[position]
            if prefixCount == 0 {
                guard byte <= 1 else { return (position, .refused(.reservedFlag(byte))) }
                isCompressed = byte == 1
            } else {
                remaining = remaining << 8 | UInt32(byte)
            }
            prefixCount += 1
            position += 1
            if prefixCount == Self.prefixBytes {
                guard remaining <= bytesMax else { return (position, .refused(.tooLarge(remaining))) }
                length = remaining
            }
        }
        guard length != nil, position < input.count else { return (position, .needMore) }
        guard remaining > 0 else { return (position, .refused(.secondMessage)) }
        let count = min(input.count - position, Int(remaining))
        remaining -= UInt32(count)
        return (position, .message(count: count))
    }
}

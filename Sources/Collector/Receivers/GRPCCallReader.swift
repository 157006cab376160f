internal import HTTP
internal import HTTPService
internal import Primitives
internal import TelemetryWire

/// Collects the message of one call. On the server's thread.
///
/// The message is collected as it comes, so that one too large is refused by its first five bytes.
final class GRPCCallReader: ServiceBodyReader {
    private let counters: ReceiverCounters
    private let messages: MessagePool
    private let bytesMax: Int
    private let coding: String
    private let deadline: MonotonicInstant?
    private let call: (GRPCCallReader, Responder) -> ServiceOutcome
    private var framing: GRPCFraming
    private(set) var message: [UInt8]

    /// `call` gets the whole message. `coding` is that of `grpc-encoding`, in lower case.
    init(
        _ counters: ReceiverCounters, _ messages: MessagePool, bytesMax: Int, coding: String, deadline: MonotonicInstant?,
        _ call: @escaping (GRPCCallReader, Responder) -> ServiceOutcome
    ) {
        self.counters = counters
        self.messages = messages
        self.bytesMax = bytesMax
        self.coding = coding
        self.deadline = deadline
        self.call = call
        framing = GRPCFraming(bytesMax: bytesMax)
        message = messages.take()
    }

    deinit {
        // Its only owner then, so that emptying it makes no copy.
        var buffer: [UInt8] = []
        swap(&buffer, &message)
        messages.give(consume buffer)
    }

    var isCompressed: Bool { framing.isCompressed && coding == "gzip" }
    var heldBytes: Int { message.count }

    func receive(_ bytes: UnsafeRawBufferPointer) -> ServiceResponse? {
        counters.bytes.add(bytes.count)
        var offset = 0
        while offset < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            let (consumed, event) = unsafe framing.next(rest)
            offset += consumed
            switch event {
            case .needMore: return nil
            case .message(let count):
                if message.isEmpty, let length = framing.length {
                    // One allocation of the right size, but never on the word of a client that has sent next to nothing.
                    message.reserveCapacity(min(Int(length), 1 << 20))
                }
                unsafe message.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
                offset += count
            case .refused(let fault): return refusal(fault)
            }
        }
        return nil
    }

    private func refusal(_ fault: GRPCFrameFault) -> ServiceResponse {
        switch fault {
        case .tooLarge:
            counters.tooLarge.add()
            return Self.tooLargeAnswer(bytesMax)
        case .reservedFlag(let flag):
            counters.malformed.add()
            return .grpc(.invalidArgument, "the compressed-flag of the message is \(flag); 0 and 1 are accepted")
        case .secondMessage:
            counters.malformed.add()
            return .grpc(.invalidArgument, "more than one message; this call takes one")
        }
    }

    func end(_ responder: Responder) -> ServiceOutcome {
        guard framing.isComplete else {
            counters.malformed.add()
            return .respond(.grpc(.invalidArgument, "the body ended within the message"))
        }
        if framing.isCompressed && coding != "gzip" {
            counters.malformed.add()
            return .respond(.grpc(.internalError, "the message is flagged as compressed, and grpc-encoding names no coding"))
        }
        if let deadline, deadline <= SystemClock.monotonicNow() {
            counters.expired.add()
            return .respond(.grpc(.deadlineExceeded, "the message came after its deadline; nothing of it was kept"))
        }
        return call(self, responder)
    }

    func refuse(_ reason: String, isRetryable: Bool) -> ServiceResponse {
        if isRetryable {
            counters.overloaded.add()
            return Self.unavailableAnswer(reason, afterSeconds: 1)
        }
        counters.tooLarge.add()
        return Self.tooLargeAnswer(bytesMax)
    }

    // MARK: Answers

    /// Without RetryInfo: the same message would be too large again (OTLP specification, throttling).
    static func tooLargeAnswer(_ bytesMax: Int) -> ServiceResponse {
        .grpc(.resourceExhausted, "the message is too large; \(bytesMax) bytes are accepted after decompression: send smaller batches")
    }

    /// What may be tried again.
    static func unavailableAnswer(_ reason: String, afterSeconds seconds: UInt64) -> ServiceResponse {
        .grpc(
            .unavailable, reason,
            fields: [
                ("grpc-status-details-bin", OTLPResponse.retryableStatus(code: 14, message: reason, retryAfterSeconds: seconds)),
                ("google.rpc.retryinfo-bin", OTLPResponse.retryDelay(retryAfterSeconds: seconds)),
            ])
    }
}

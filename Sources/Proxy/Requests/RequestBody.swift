internal import Primitives

/// A request's body between its client and its attempts: what waits for one, what another may need, and its end.
struct RequestBody: ~Copyable {
    /// Bytes that no attempt has been given yet, or that another attempt may need (`isKept`).
    private(set) var bytes = ByteBuffer()
    /// Lines of the trailer section.
    var trailers = ByteBuffer()
    /// The whole request has been received.
    var isComplete = false
    /// Sent bytes stay here for another attempt.
    private(set) var isKept = false
    /// Bytes have gone to an attempt and are not kept, so that the request cannot be sent again.
    private(set) var isForwarded = false
    /// The whole request has been given to the current attempt.
    var endIsSent = false
    /// Bytes of an HTTP/2 client that it may not yet replace by new ones.
    var unconsumed = 0

    mutating func begin() {
        bytes.clear(keeping: 4096)
        trailers.clear(keeping: 1024)
        isComplete = false
        isKept = false
        isForwarded = false
        endIsSent = false
        unconsumed = 0
    }

    mutating func keepForRetries() { isKept = true }

    /// Bytes have come and there is no attempt to give them to.
    mutating func hold(_ more: LentBytes) { bytes.append(more) }

    /// Bytes are about to go to the attempt: they are kept as well, within `bytesMax`.
    mutating func note(sent more: LentBytes, bytesMax: Int) {
        guard isKept else {
            isForwarded = true
            return
        }
        if bytes.count + more.count <= bytesMax { bytes.append(more) } else { forget() }
    }

    /// What waited has gone to an attempt.
    mutating func noteHeldSent(bytesMax: Int) {
        if bytes.isEmpty || isKept && bytes.count <= bytesMax { return }
        forget()
    }

    /// No further attempt will need what was sent.
    private mutating func forget() {
        isKept = false
        isForwarded = true
        bytes.release()
    }
}

internal import HTTP
internal import Primitives
internal import TelemetryModel

/// `Max-Forwards` (RFC 9110 7.6.2): how many more proxies an OPTIONS or TRACE may pass. With other methods it says nothing.
extension ProxyWorker {
    /// What is left of it before this hop; nil = nothing was said, or nothing legible.
    mutating func forwardsLeft() -> UInt64? {
        guard head.has(.maxForwards), unsafe ASCII.equal(head.method, "OPTIONS") || ASCII.equal(head.method, "TRACE"),
            let value = unsafe head.value(of: .maxForwards)
        else { return nil }
        return unsafe ASCII.decimal(value)
    }

    /// Answers the request in `head` as its last recipient. OPTIONS asks for nothing more than an answer (RFC 9110 9.3.7); TRACE gets its request line
    /// and host back, and none of its other fields, some of which may be secret (9.3.8).
    mutating func answerAsLast(
        _ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, path: UnsafeRawBufferPointer, query: UnsafeRawBufferPointer,
        authority: UnsafeRawBufferPointer, isHTTPS: Bool
    ) {
        unsafe recordText(
            exchange, path: path, authority: authority, requestID: head.value(of: .requestID), forwardedFor: nil, isHTTPS: isHTTPS)
        answerScratch.clear()
        if unsafe ASCII.equal(head.method, "TRACE") {
            answerScratch.append("TRACE ")
            unsafe answerScratch.append(path)
            unsafe answerScratch.append(query)
            answerScratch.append(" HTTP/1.1\r\nHost: ")
            unsafe answerScratch.append(authority)
            answerScratch.append("\r\nMax-Forwards: 0\r\n\r\n")
        }
        unsafe answer(id, 200, .directResponse, [], body: answerScratch.readable, closes: false)
    }
}

internal import HTTP
internal import Primitives
internal import Routing

/// What came for a request before its final response. A bound over all its attempts: an upstream could go on for ever.
struct InterimTally: BitwiseCopyable {
    private(set) var count: UInt8 = 0
    private var bytes = 0
    private var saidContinue = false

    /// Counts one more. False when it is one too many, or they are too large together.
    mutating func take(bytes size: Int, countMax: UInt8, bytesMax: Int) -> Bool {
        guard count < countMax, size <= bytesMax - bytes else { return false }
        count += 1
        bytes += size
        return true
    }

    /// Whether a 100 goes to the client. Once is enough: a second answers the expectation that we repeated with another attempt.
    mutating func passesContinue() -> Bool {
        defer { saidContinue = true }
        return !saidContinue
    }
}

/// Interim responses on their way (RFC 9110 15.2): every 1xx of an upstream but 101 goes on to the client, in either version. They do not
/// begin the response: another attempt may follow.
extension ProxyWorker {
    /// Passes the interim response in `head` on. False when the exchange has not survived it.
    mutating func takeInterim(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let bytesMax = limits.http.headBytesMax
        guard unsafe exchange.pointee.interim.take(bytes: head.byteCount, countMax: limits.interimResponsesMax, bytesMax: bytesMax) else {
            upstreamBrokeProtocol(id)
            return false
        }
        // HTTP/1.0 has no such responses, and nobody waits for those to a copy.
        if unsafe !exchange.pointee.flags.isDisjoint(with: [.isShadow, .isHTTP10]) { return true }
        if head.statusCode == 100, unsafe !exchange.pointee.interim.passesContinue() { return true }
        let downstream = unsafe exchange.pointee.downstream
        if unsafe exchange.pointee.isHTTP2Downstream {
            guard let session = unsafe downstreamSession(exchange) else { return true }
            fieldList.begin()
            fieldList.add(":status", decimal: UInt64(head.statusCode))
            for index in 0..<head.fieldCount where unsafe passes(interimField: index, exchange) {
                unsafe fieldList.add(head.name(at: index), head.value(at: index))
            }
            unsafe session.pointee.submitInterim(fieldList, stream: exchange.pointee.downstreamStream)
            markDirty(downstream: downstream)
            return true
        }
        assembly.clear(keeping: 256 * 1024)
        appendStatusLine()
        for index in 0..<head.fieldCount where unsafe passes(interimField: index, exchange) {
            Self.appendField(head, index, to: &assembly)
        }
        assembly.append("\r\n")
        sendAssembly(downstream)
        // The client may have gone while it was written to.
        return unsafe exchanges.pointer(id) != nil
    }

    private mutating func passes(interimField index: Int, _ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let edits = unsafe responseEdits(exchange)
        if edits.isActive, unsafe tables(exchange).drops(edits, head.name(at: index)) { return false }
        return unsafe passes(responseField: index, exchange)
    }

    /// Whether the `Expect` field goes to the upstream, which answers it (RFC 9110 10.1.1). HTTP/1.0 has no 100-continue, and without a
    /// body there is nothing to wait for.
    mutating func forwardsExpectation(_ exchange: UnsafeMutablePointer<Exchange>, _ index: Int) -> Bool {
        if unsafe exchange.pointee.flags.contains(.isHTTP10) { return false }
        return unsafe exchange.pointee.flags.contains(.expectsContinue) || !ASCII.equal(head.value(at: index), ignoringCase: "100-continue")
    }
}

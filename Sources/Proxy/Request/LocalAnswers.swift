internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Answers that the configuration gives itself: redirects, direct responses, CORS preflights.
extension ProxyWorker {
    mutating func redirect(_ id: SlotID, _ choice: RouteChoice, _ request: borrowing RouteRequest) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        let actions = unsafe tables(exchange).actions(choice.route)
        answerScratch.clear()
        // Nobody means the port of the proxy itself.
        let isCaptured = unsafe downstreams.pointer(exchange.pointee.downstream)?.pointee.isCaptured == true
        let port = unsafe isCaptured ? exchange.pointee.record.downstreamLocal.port : 0
        unsafe tables(exchange).location(actions.redirect, match: choice.match, request, requestPort: port, into: &answerScratch)
        unsafe exchange.pointee.flags.insert(.hasLocation)
        reply(id, actions.redirect.status, .directResponse, [], body: "", closes: false)
    }

    mutating func answerDirectly(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>) {
        let tables = unsafe tables(exchange)
        let direct = unsafe tables.actions(UInt32(exchange.pointee.route)).directResponse
        unsafe answer(id, direct.status, .directResponse, [], body: tables.directBody(direct), closes: false)
    }

    /// Notes what the route's CORS policy makes of the request.
    mutating func readCORS(_ exchange: UnsafeMutablePointer<Exchange>, _ index: Int32) {
        let originName: StaticString = "origin"
        guard let origin = unsafe head.value(named: UnsafeRawBufferPointer(start: originName.utf8Start, count: originName.utf8CodeUnitCount)),
            origin.count > 0
        else { return }
        let methodName: StaticString = "access-control-request-method"
        let asked = unsafe head.value(named: UnsafeRawBufferPointer(start: methodName.utf8Start, count: methodName.utf8CodeUnitCount))
        let isPreflight = unsafe ASCII.equal(head.method, "OPTIONS") && asked?.isEmpty == false
        let isAllowed = unsafe tables(exchange).allows(cors: index, origin: origin)
        if isAllowed {
            unsafe exchange.pointee.flags.insert(.allowsOrigin)
            unsafe exchange.pointee.origin.clear()
            unsafe exchange.pointee.origin.append(origin)
        }
        if isPreflight, unsafe isAllowed || tables(exchange).answersUnmatchedPreflight(index) { unsafe exchange.pointee.flags.insert(.isPreflight) }
    }

    /// Answers a preflight, unless the upstream is to. True = it is answered.
    mutating func answerPreflight(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        guard unsafe exchange.pointee.flags.contains(.isPreflight) else { return false }
        reply(id, 200, .corsPreflight, [], body: "", closes: false)
        return true
    }

    /// The fields of policies that the configuration's edits may still take back, one after the other.
    mutating func forEachPolicyField(
        _ exchange: UnsafeMutablePointer<Exchange>, _ add: (inout Self, UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) {
        if unsafe exchange.pointee.flags.contains(.showsRateLimit) { unsafe addRateLimitFields(exchange, add) }
        if unsafe exchange.pointee.flags.contains(.setsCookie) && exchange.pointee.route >= 0 { unsafe addCookie(exchange, add) }
    }

    /// The fields that the configuration adds, then those of its CORS policy, which stand alone (Envoy's filter sets them last).
    mutating func forEachAddition(
        _ exchange: UnsafeMutablePointer<Exchange>, _ edits: HeaderEdits,
        _ add: (inout Self, UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) {
        let route = unsafe exchange.pointee.route
        guard route >= 0 else { return }
        let tables = unsafe tables(exchange)
        let hasCORS = unsafe exchange.pointee.flags.contains(.allowsOrigin)
        for index in 0..<(unsafe tables.additionCount(edits)) {
            let (name, value) = unsafe tables.addition(edits, index)
            if hasCORS, unsafe isSaidByCORS(name, exchange) { continue }
            guard let pieces = unsafe tables.pieces(edits, index) else {
                unsafe add(&self, name, value)
                continue
            }
            unsafe makeValue(pieces, exchange, isResponse: true)
            // What comes to nothing is not sent, as in Envoy.
            if !valueScratch.isEmpty { unsafe add(&self, name, valueScratch.readable) }
        }
        guard hasCORS else { return }
        let cors = unsafe tables.actions(UInt32(route)).cors
        let isPreflight = unsafe exchange.pointee.flags.contains(.isPreflight)
        unsafe tables.corsFields(cors, isPreflight: isPreflight, origin: exchange.pointee.origin.readable) { name, value in
            unsafe add(&self, UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), value)
        }
    }

    /// Whether the configuration names the type of our own answer's body (`headers: {response: {set: {content-type: …}}}`), as Envoy takes it:
    /// text/plain is only what an answer has that says nothing else.
    mutating func addsContentType(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        guard unsafe exchange.pointee.flags.contains(.editsResponse), unsafe exchange.pointee.route >= 0 else { return false }
        let tables = unsafe tables(exchange)
        let edits = unsafe tables.responseEdits(destination: exchange.pointee.destination)
        for index in 0..<(unsafe tables.additionCount(edits)) {
            if unsafe ASCII.equal(tables.addition(edits, index).0, ignoringCase: "content-type") { return true }
        }
        return false
    }

    private mutating func addCookie(
        _ exchange: UnsafeMutablePointer<Exchange>, _ add: (inout Self, UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) {
        let tables = unsafe tables(exchange)
        let policy = unsafe tables.cluster(Int(exchange.pointee.clusterIndex)).hash
        cookieScratch.clear()
        unsafe cookieScratch.append(tables.cookieName(policy))
        cookieScratch.append("=")
        let value = unsafe exchange.pointee.cookieValue
        for place in 0..<16 {
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * place)) & 15
            cookieScratch.append(byte: nibble < 10 ? 48 + nibble : 87 + nibble)
        }
        if policy.cookieSeconds > 0 {
            cookieScratch.append("; Max-Age=")
            cookieScratch.append(decimal: UInt64(policy.cookieSeconds))
        }
        let path = unsafe tables.cookiePath(policy)
        if path.count > 0 {
            cookieScratch.append("; Path=")
            unsafe cookieScratch.append(path)
        }
        unsafe cookieScratch.append(tables.cookieAttributes(policy))
        cookieScratch.append("; HttpOnly")
        let name: StaticString = "set-cookie"
        unsafe add(&self, UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), cookieScratch.readable)
    }

    /// Whether the route has any edits for responses, or a CORS policy allowed the origin.
    mutating func addsResponseFields(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        if unsafe !exchange.pointee.flags.isDisjoint(with: [.allowsOrigin, .setsCookie, .showsRateLimit]) { return true }
        return unsafe exchange.pointee.flags.contains(.editsResponse)
    }
}

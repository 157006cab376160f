internal import EventLoops
internal import HTTP
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Local rate limits: token buckets that all workers share (`Policy.RateLimiter`). Every limit that applies takes a token; the scarcest is shown to the client.
extension ProxyWorker {
    /// True = the request is refused, and answered with 429 RL.
    mutating func limitRate(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ limits: TableRange, _ request: borrowing RouteRequest) -> Bool {
        let port = unsafe exchange.pointee.record.downstreamLocal.port
        for index in limits.indices {
            let entry = unsafe tables.rateLimit(index)
            guard let rate = epochs[epoch].rates[index], unsafe tables.applies(entry, port: port, request, head) else { continue }
            var descriptor = RateLimitDescriptor(route: entry.id)
            let client = unsafe exchange.pointee.record.downstreamRemote
            unsafe tables.forEachPart(entry, request, head) { part in
                switch unsafe part {
                case .value(let bytes): unsafe descriptor.add(bytes)
                case .client:
                    descriptor.add(client.high)
                    descriptor.add(client.low)
                case .absent: descriptor.addAbsent()
                }
            }
            let decision = handle.shared.limiter.take(descriptor, rate, now: now)
            let isShown = unsafe exchange.pointee.flags.contains(.showsRateLimit)
            if unsafe !isShown || !decision.isAllowed || decision.remaining < exchange.pointee.rateLimit.remaining {
                unsafe exchange.pointee.rateLimit = decision
                unsafe exchange.pointee.flags.insert(.showsRateLimit)
            }
            guard decision.isAllowed else {
                reply(id, 429, .localRateLimited, [.rateLimited], body: "local_rate_limited", closes: false)
                return true
            }
        }
        return false
    }

    /// The fields that tell the client where it stands.
    mutating func addRateLimitFields(
        _ exchange: UnsafeMutablePointer<Exchange>, _ add: (inout Self, UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) {
        let decision = unsafe exchange.pointee.rateLimit
        answerScratch.clear()
        for header in RateLimitHeader.allCases where decision.has(header) {
            let start = answerScratch.count
            decision.write(header, to: &answerScratch)
            let name = header.name
            unsafe add(
                &self, UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount),
                UnsafeRawBufferPointer(rebasing: answerScratch.readable[start...]))
        }
    }
}

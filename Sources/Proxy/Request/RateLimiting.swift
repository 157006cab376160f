internal import EventLoops
internal import HTTP
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Local rate limits: token buckets that all workers share (`Policy.RateLimiter`). Every limit that applies takes a token; the scarcest is shown to the client.
extension ProxyWorker {
    /// Room for the values of all `RateLimitHeader`s.
    private static let rateLimitBytes = 32 * RateLimitHeader.allCases.count

    /// True = the request is refused, and answered with 429 RL.
    mutating func limitRate(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ limits: TableRange, _ request: borrowing RouteRequest) -> Bool {
        let port = unsafe exchange.pointee.record.downstreamLocal.port
        for index in limits.indices {
            let entry = unsafe tables.rateLimit(index)
            guard let rate = epochs[epoch].rates[index], unsafe tables.applies(entry, port: port, request, head) else { continue }
            if entry.enabledShare < 1_000_000, faultDraw.below(1_000_000) >= entry.enabledShare { continue }
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
            guard decision.isAllowed || (entry.enforcedShare < 1_000_000 && faultDraw.below(1_000_000) >= entry.enforcedShare) else {
                unsafe exchange.pointee.rateLimitIndex = Int32(clamping: index)
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
        rateLimitScratch.clear(keeping: Self.rateLimitBytes)
        // Values must stay where they are until all are sent: room for them first.
        _ = unsafe rateLimitScratch.reserve(Self.rateLimitBytes)
        for header in RateLimitHeader.allCases where decision.has(header) {
            let start = rateLimitScratch.count
            decision.write(header, to: &rateLimitScratch)
            let name = header.name
            unsafe add(
                &self, UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount),
                UnsafeRawBufferPointer(rebasing: rateLimitScratch.readable[start...]))
        }
        let refusedBy = unsafe exchange.pointee.rateLimitIndex
        guard refusedBy >= 0 else { return }
        let tables = unsafe tables(exchange)
        unsafe tables.forEachRefusalField(tables.rateLimit(Int(refusedBy))) { name, value in unsafe add(&self, name, value) }
    }
}

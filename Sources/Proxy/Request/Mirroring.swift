internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Copies of requests to other clusters (semantics 2.6): fire and forget. A shadow is an exchange without a client: its response is read and dropped, it is neither
/// retried nor counted as a request, and it never makes the original wait.
extension ProxyWorker {
    /// Sends the copies that the draws ask for.
    mutating func mirror(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ mirrors: TableRange, hasMore: Bool) {
        for index in mirrors.indices {
            let entry = unsafe tables(exchange).mirror(index)
            guard entry.cluster >= 0, entry.share >= 1_000_000 || mirrorDraw.below(1_000_000) < entry.share else { continue }
            unsafe addShadow(exchange, cluster: entry.cluster)
        }
    }

    private mutating func addShadow(_ exchange: UnsafeMutablePointer<Exchange>, cluster: Int32) {
        guard unsafe exchange.pointee.shadowCount < Exchange.shadowsMax, let shadowID = exchanges.reuse() ?? exchanges.insert(Exchange()),
            let shadow = unsafe exchanges.pointer(shadowID)
        else {
            handle.statistics.add(handle.statistics.mirrorsDropped)
            return
        }
        handle.statistics.add(handle.statistics.mirrors)
        unsafe shadow.pointee.begin(downstream: .none, stream: 0, start: now)
        unsafe shadow.pointee.epoch = exchange.pointee.epoch
        unsafe epochs[exchange.pointee.epoch].exchanges += 1
        unsafe shadow.pointee.clusterIndex = cluster
        unsafe shadow.pointee.requestFraming = exchange.pointee.requestFraming
        let inherited: Exchange.Flags = [.requestComplete, .isHEAD, .isIdempotent, .isGRPC, .omitsAttemptCount]
        unsafe shadow.pointee.flags = exchange.pointee.flags.intersection(inherited).union(.isShadow)
        unsafe copyHead(from: exchange, to: shadow)
        // Nobody waits for it, so something must end it.
        unsafe shadow.pointee.timer = timers.arm(Token(.exchange, shadowID).rawValue, at: now + limits.shadowTimeoutNanoseconds)
        unsafe exchange.pointee.shadows[exchange.pointee.shadowCount] = shadowID
        unsafe exchange.pointee.shadowCount += 1
        beginAttempt(shadowID, hasMore: false)
    }

    /// The head with `-shadow` behind the host, before any port.
    private mutating func copyHead(from exchange: UnsafeMutablePointer<Exchange>, to shadow: UnsafeMutablePointer<Exchange>) {
        let text = unsafe UnsafeRawBufferPointer(rebasing: exchange.pointee.requestHead.readable[..<exchange.pointee.headEnd])
        guard let lineEnd = unsafe text.firstIndex(of: 13), let hostEnd = unsafe text[(lineEnd + 2)...].firstIndex(of: 13) else { return }
        let hostStart = lineEnd + 2 + 6
        let host = unsafe UnsafeRawBufferPointer(rebasing: text[hostStart..<hostEnd])
        // A host that a rule has set is as the rule wrote it.
        let count = unsafe Authority.parse(host)?.hostCount ?? host.count
        unsafe shadow.pointee.requestHead.append(UnsafeRawBufferPointer(rebasing: text[..<(hostStart + count)]))
        unsafe shadow.pointee.requestHead.append("-shadow")
        unsafe shadow.pointee.requestHead.append(UnsafeRawBufferPointer(rebasing: text[(hostStart + count)...]))
        unsafe shadow.pointee.headEnd = shadow.pointee.requestHead.count
    }

    /// Body bytes of the original go to its shadows too; one that cannot take them is dropped.
    mutating func copyBody(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer) {
        for index in unsafe 0..<exchange.pointee.shadowCount {
            let id = unsafe exchange.pointee.shadows[index]
            guard let shadow = unsafe exchanges.pointer(id), unsafe shadow.pointee.flags.contains(.isShadow) else { continue }
            if unsafe upstreamWaiting(shadow) + shadow.pointee.body.count + bytes.count > limits.shadowBytesMax {
                dropShadow(id)
            } else {
                unsafe sendBody(id, shadow, bytes)
            }
        }
    }

    mutating func endShadows(_ exchange: UnsafeMutablePointer<Exchange>) {
        for index in unsafe 0..<exchange.pointee.shadowCount {
            guard let shadow = unsafe exchanges.pointer(exchange.pointee.shadows[index]), unsafe shadow.pointee.flags.contains(.isShadow) else { continue }
            unsafe shadow.pointee.requestTrailers.append(exchange.pointee.requestTrailers.readable)
            unsafe shadow.pointee.flags.insert(.requestComplete)
            unsafe sendEnd(shadow)
        }
    }

    /// The original is over: shadows whose request will never be complete go with it.
    mutating func releaseShadows(_ exchange: UnsafeMutablePointer<Exchange>) {
        for index in unsafe 0..<exchange.pointee.shadowCount {
            let id = unsafe exchange.pointee.shadows[index]
            guard let shadow = unsafe exchanges.pointer(id), unsafe shadow.pointee.flags.contains(.isShadow) else { continue }
            if unsafe !shadow.pointee.flags.contains(.requestComplete) { dropShadow(id) }
        }
        unsafe exchange.pointee.shadowCount = 0
    }

    private mutating func dropShadow(_ id: SlotID) {
        guard let shadow = unsafe exchanges.pointer(id) else { return }
        handle.statistics.add(handle.statistics.mirrorsDropped)
        unsafe abandonAttempt(id, shadow)
        finish(id)
    }
}

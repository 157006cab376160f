internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Connections whose bytes pass untouched from the first on: an exchange that is a tunnel from its beginning, without a request.
extension ProxyWorker {
    /// Connects a client's connection to an endpoint of a cluster; -1 = the route names none. `route` is for the record.
    mutating func beginTCP(_ downstreamID: SlotID, cluster index: Int32, route: NameID, serverName: UnsafeRawBufferPointer) {
        guard let connection = unsafe downstreams.pointer(downstreamID) else { return }
        guard let id = exchanges.reuse() ?? exchanges.insert(Exchange()), let exchange = unsafe exchanges.pointer(id) else {
            closeDownstream(downstreamID)
            return
        }
        unsafe exchange.pointee.begin(downstream: downstreamID, stream: 0, start: now)
        unsafe enterEpoch(exchange)
        unsafe exchange.pointee.flags = [.isTCP, .isTunnel, .endSent]
        unsafe connection.pointee.exchange = id
        unsafe connection.pointee.hasSpoken = true
        unsafe exchange.pointee.record.startUnixNanoseconds = unix(now)
        unsafe exchange.pointee.record.downstreamRemote = connection.pointee.remote
        unsafe exchange.pointee.record.downstreamLocal = connection.pointee.local
        unsafe exchange.pointee.record.side = listeners[connection.pointee.listener].plan.side
        unsafe exchange.pointee.record.protocolVersion = .tcp
        unsafe exchange.pointee.record.route = route
        for slot in 0..<Int(RequestText.firstCaptured) + plan.requestHeaders.count {
            let isName = unsafe slot == Int(RequestText.serverName.rawValue) && !serverName.isEmpty
            unsafe exchange.pointee.append(text: isName ? serverName : nil, upTo: limits.recordTextBytesMax)
        }
        unsafe touch(id, exchange)
        guard index >= 0 else {
            reply(id, 0, .routeNotFound, [.noRouteFound], body: "", closes: true)
            return
        }
        let cluster = unsafe tables.cluster(Int(index))
        unsafe exchange.pointee.clusterIndex = index
        unsafe exchange.pointee.record.cluster = cluster.name
        unsafe exchange.pointee.record.labels = cluster.labels
        unsafe exchange.pointee.attemptWait = .tcpReport
        if let target = unsafe tables.tunnelTarget(cluster) { unsafe askForTunnel(exchange, to: target) }
        unsafe touch(id, exchange)
        if cluster.maxConnectionNanoseconds > 0 {
            unsafe exchange.pointee.timer = timers.arm(Token(.exchange, id).rawValue, at: now + cluster.maxConnectionNanoseconds)
        }
        beginAttempt(id, hasMore: false)
        var opened = unsafe TCPSeries(labels: exchange.pointee.record.labels, side: exchange.pointee.record.side)
        opened.connectionsOpened = 1
        handle.tcpShard.add(opened)
        guard let still = unsafe exchanges.pointer(id), unsafe !still.pointee.upstream.isNone else { return }
        unsafe still.pointee.attemptTimer = timers.arm(Token(.attempt, id).rawValue, at: now + limits.tcpReportNanoseconds)
    }

    /// Adds to the counters what has moved since the last report.
    mutating func reportTCP(_ exchange: UnsafeMutablePointer<Exchange>, closed: UInt64) {
        let flags: ResponseFlags = unsafe closed == 0 ? [] : exchange.pointee.record.flags
        var series = unsafe TCPSeries(labels: exchange.pointee.record.labels, side: exchange.pointee.record.side, flags: flags)
        unsafe series.receivedBytes = exchange.pointee.record.requestBodyBytes &- exchange.pointee.countedReceived
        unsafe series.sentBytes = exchange.pointee.record.responseBodyBytes &- exchange.pointee.countedSent
        series.connectionsClosed = closed
        unsafe exchange.pointee.countedReceived = exchange.pointee.record.requestBodyBytes
        unsafe exchange.pointee.countedSent = exchange.pointee.record.responseBodyBytes
        if closed > 0 || series.receivedBytes > 0 || series.sentBytes > 0 { handle.tcpShard.add(series) }
    }

    mutating func reportTCPAgain(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>) {
        unsafe reportTCP(exchange, closed: 0)
        unsafe exchange.pointee.attemptTimer = timers.arm(Token(.attempt, id).rawValue, at: now + limits.tcpReportNanoseconds)
    }
}

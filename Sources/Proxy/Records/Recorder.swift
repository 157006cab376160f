internal import Primitives
internal import TelemetryModel

/// Where finished requests and connections are counted and recorded. Every request is counted here once, whatever is sampled.
struct Recorder {
    private let ring: Held<RecordRing>
    private let shard: Held<REDShard>
    private let tcpShard: Held<TCPShard>
    private let routes: Held<OutcomeShard>
    private let endpoints: Held<OutcomeShard>

    init(_ handle: WorkerHandle) {
        ring = Held(keptByCaller: handle.ring)
        shard = Held(keptByCaller: handle.shard)
        tcpShard = Held(keptByCaller: handle.tcpShard)
        routes = Held(keptByCaller: handle.routeOutcomes)
        endpoints = Held(keptByCaller: handle.endpointOutcomes)
    }

    func expire(_ idle: IdleRows) {
        shard.use { $0.expire(idle.series) }
        routes.use { $0.expire(idle.routes) }
        endpoints.use { $0.expire(idle.endpoints) }
    }

    /// The end of a request: its duration, its counters, its record. `isRecorded`: somebody wants one.
    @inline(__always)
    func finish(_ log: inout RequestLog, durationNanoseconds: UInt64, isRecorded: Bool) {
        log.record.times.downstreamSendEnd = durationNanoseconds
        countRequest(&log.record, durationNanoseconds)
        if isRecorded { ring.use { log.emit(to: $0) } }
    }

    @inline(__always)
    private func countRequest(_ record: inout RequestRecord, _ durationNanoseconds: UInt64) {
        let key = SeriesKey(record)
        var sample = REDSample()
        sample.durationMicroseconds = durationNanoseconds / 1000
        sample.requestBytes = UInt64(record.requestHeaderBytes) &+ record.requestBodyBytes
        sample.responseBytes = UInt64(record.responseHeaderBytes) &+ record.responseBodyBytes
        shard.use { $0.record(key, sample) }
        countOutcome(&record, sample.durationMicroseconds)
    }

    @inline(__always)
    private func countOutcome(_ record: inout RequestRecord, _ durationMicroseconds: UInt64) {
        let outcome = RequestOutcome(responseCode: record.responseCode, isGRPC: record.isGRPC, grpcStatus: record.grpcStatus)
        let retries = UInt64(max(record.attemptCount, 1)) &- 1
        if record.route != .none {
            let key = OutcomeKey(route: record.route, cluster: record.cluster)
            routes.use { $0.record(key, outcome, durationMicroseconds: durationMicroseconds, retries: retries) }
        }
        if record.upstreamRemote.family != .absent {
            let key = OutcomeKey(cluster: record.cluster, endpoint: record.upstreamRemote)
            endpoints.use { $0.record(key, outcome, durationMicroseconds: durationMicroseconds, retries: 0) }
        }
    }

    /// The end of a TCP connection.
    func finishTCP(_ log: inout RequestLog, durationNanoseconds: UInt64, isRecorded: Bool) {
        log.record.times.downstreamSendEnd = durationNanoseconds
        if isRecorded { ring.use { log.emit(to: $0) } }
    }

    func add(_ series: TCPSeries) { tcpShard.use { $0.add(series) } }
}

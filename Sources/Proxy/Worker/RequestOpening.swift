internal import HTTP
internal import Primitives
internal import TelemetryModel

/// The beginning of a request, and the time that it may stand still from there on.
enum RequestOpening {
    /// Begins a request of a connection; `request` is the slab's, new or used before.
    @inline(__always)
    static func begin(_ id: SlotID, _ request: inout Request, _ connection: SlotID, _ stream: Int32, _ sides: inout Sides) {
        let epoch = sides.epochs.enter()
        let origin = sides.makeOrigin(connection, stream)
        request.begin(origin, epoch: epoch, start: sides.loop.now)
        sides.downstreams.attach(id, to: connection, stream: stream, isOnly: !origin.isHTTP2)
        sides.loop.countEvent { $0.add($0.requestsTotal) }
        touch(id, &request, &sides)
        request.log.record.note(origin, unixNanoseconds: sides.loop.unixNow)
        request.log.record.labels = origin.labels
        sides.noteClient(of: &request)
    }

    /// Something of the request moved: the time that it may stand still begins anew.
    @inline(__always)
    static func touch(_ id: SlotID, _ request: inout Request, _ sides: inout Sides) {
        let connection = request.origin.connection
        if request.origin.isHTTP2 {
            request.idle.set(&sides.loop, .requestIdle, id, after: sides.limits.streamIdleTimeoutNanoseconds)
        } else if sides.downstreams.connections.contains(connection) {
            sides.downstreams.setDeadline(connection, .stream, after: sides.limits.streamIdleTimeoutNanoseconds, &sides.loop)
        }
    }
}

internal import HTTP
internal import Primitives
internal import TelemetryModel

/// The end of a request: what it held is given back, and it is counted and recorded.
enum RequestFinishing {
    /// Lets go of both sides once the response is out, or with its connection, to its last byte. `isWhole`: the endpoint has said so.
    @inline(__always)
    static func detach(_ request: inout Request, isWhole: Bool, _ sides: inout Sides) {
        let isReusable = isWhole && request.body.isComplete && request.body.endIsSent
        sides.upstreams.release(&request.attempt, isWhole: isReusable, &sides.loop)
        // The stream goes on without its request: what waits on it is still sent.
        let origin = request.origin
        sides.downstreams.detach(origin.connection, stream: origin.stream, unconsumed: request.body.unconsumed)
        request.body.unconsumed = 0
    }

    /// Counts the request and hands its record over; once for each.
    @inline(__always)
    static func settle(_ id: SlotID, _ request: inout Request, _ mirrors: inout MirrorTraffic, _ sides: inout Sides) {
        sides.downstreams.forget(request: id, of: request.origin.connection)
        sides.loop.cancel(&request.routeTimer)
        sides.loop.cancel(&request.waitTimer)
        request.idle.cancel(&sides.loop)
        AttemptEnding.endBackOff(&request, &sides.upstreams)
        sides.upstreams.leave(&request.attempt)
        AttemptEnding.releaseRetry(&request.attempt, &sides.upstreams)
        if request.mirrorCount > 0 { mirrors.releaseMirrors(of: &request, &sides) }
        if !request.check.isNone { CheckTraffic.release(&request, &sides) }
        let duration = request.elapsed(sides.loop.now)
        let epoch = request.epoch
        let isRecorded = RecordTexts.isWanted(request.log.record, &sides.epochs.all[epoch].plan)
        sides.recorder.finish(&request.log, durationNanoseconds: duration, isRecorded: isRecorded)
        sides.leaveEpoch(epoch)
    }
}

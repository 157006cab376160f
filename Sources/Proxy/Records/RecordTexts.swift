internal import HTTP
internal import Matching
internal import Primitives
internal import TelemetryModel

/// The texts of a request's record, in the order of `RequestText`: eight standard ones, then the captured request fields.
enum RecordTexts {
    static func isWanted(_ record: borrowing RequestRecord, _ plan: inout CapturePlan) -> Bool {
        if record.isSampled { return true }
        return plan.side(record.side).isRecorded
    }

    /// `isWhole`: the request's own identifiers are to be believed. `path`: in the head's text.
    static func write(
        _ request: inout Request, _ bytesMax: Int, _ epoch: inout Epoch, path: Range<Int>, isWhole: Bool
    ) {
        guard isWanted(request.log.record, &epoch.plan) else { return }
        request.log.append(request.head.methodBytes, upTo: bytesMax)
        request.log.append(nil, upTo: bytesMax)
        let target = isWhole && path == request.target.path ? request.head.sentTarget : path
        request.log.append(request.head.bytes(target), upTo: bytesMax)
        let authority = request.target.authority
        request.log.append(authority.isEmpty ? nil : request.head.bytes(authority), upTo: bytesMax)
        request.log.append(request.head.bytes(of: .userAgent), upTo: bytesMax)
        request.log.append(isWhole ? request.head.bytes(of: .requestID) : nil, upTo: bytesMax)
        request.log.append(nil, upTo: bytesMax)
        finish(&request, bytesMax, &epoch, ClaimsView())
    }

    /// Of a head as it is sent on: the record has what the endpoint gets, as Envoy's log.
    @inline(__always)
    static func writeSent(
        _ request: inout Request, _ bytesMax: Int, _ epoch: inout Epoch, isRewritten: Bool, _ claims: ClaimsView
    ) {
        guard isWanted(request.log.record, &epoch.plan) else { return }
        request.log.append(request.head.methodBytes, upTo: bytesMax)
        // As Envoy: the original path is recorded only where a rewrite changed it.
        let shown = request.log.shownTarget
        let original = shown.isEmpty ? request.head.bytes(of: .envoyOriginalPath) : request.head.bytes(shown)
        request.log.append(isRewritten ? original : nil, upTo: bytesMax)
        request.log.append(request.head.bytes(shown.isEmpty ? request.head.sentTarget : shown), upTo: bytesMax)
        request.log.append(request.head.bytes(request.head.sentAuthority), upTo: bytesMax)
        request.log.append(request.head.bytes(of: .userAgent), upTo: bytesMax)
        request.log.append(request.head.bytes(of: .requestID), upTo: bytesMax)
        request.log.append(request.head.bytes(of: .forwardedFor), upTo: bytesMax)
        finish(&request, bytesMax, &epoch, claims)
    }

    /// A captured name behind an `@` is the path of a token's claim (`ClaimPath`).
    private static func finish(_ request: inout Request, _ bytesMax: Int, _ epoch: inout Epoch, _ claims: ClaimsView) {
        let scheme: StaticString = request.target.isHTTPS ? "https" : "http"
        request.log.append(LentBytes(scheme), upTo: bytesMax)
        for index in epoch.plan.requestHeaders.indices {
            unsafe epoch.plan.requestHeaders[index].withUnsafeBytes { name in
                guard unsafe name.first == UInt8(ascii: "@") else {
                    return unsafe request.log.append(request.head.bytes(named: LentBytes(name)), upTo: bytesMax)
                }
                let place = unsafe claims.entryIndex(at: LentBytes(name).from(1))
                request.log.append(place.map { claims.valueText(claims[$0]) }, upTo: bytesMax)
            }
        }
    }

    /// Of a request whose head was never read whole: as much of it as arrived.
    static func writeGlimpse(
        _ log: inout RequestLog, _ bytes: LentBytes, _ bytesMax: Int, _ epochs: inout Epochs, _ epoch: SlotID
    ) {
        guard isWanted(log.record, &epochs.all[epoch].plan) else { return }
        let glimpse = unsafe RequestGlimpse(bytes.buffer)
        for (place, isThere) in [(glimpse.method, true), (0..<0, false), (glimpse.target, true), (glimpse.host, true)] {
            log.append(isThere && !place.isEmpty ? bytes[place] : nil, upTo: bytesMax)
        }
        log.appendAbsent(Int(RequestText.firstCaptured) - 4 + epochs.all[epoch].plan.requestHeaders.count)
    }

    /// The captured fields of the response on its way.
    static func writeResponse(
        _ log: inout RequestLog, _ head: borrowing MessageHead, _ bytesMax: Int, _ epochs: inout Epochs, _ epoch: SlotID
    ) {
        write(response: head, &log, bytesMax, &epochs.all[epoch].plan)
    }

    private static func write(
        response head: borrowing MessageHead, _ log: inout RequestLog, _ bytesMax: Int, _ plan: inout CapturePlan
    ) {
        guard isWanted(log.record, &plan) else { return }
        for index in plan.responseHeaders.indices {
            unsafe plan.responseHeaders[index].withUnsafeBytes { name in
                unsafe log.append(head.bytes(named: LentBytes(name)), upTo: bytesMax)
            }
        }
    }
}

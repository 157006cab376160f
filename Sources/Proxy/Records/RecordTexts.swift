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
        unsafe request.log.append(request.head.method, upTo: bytesMax)
        unsafe request.log.append(nil, upTo: bytesMax)
        let target = isWhole && path == request.target.path ? request.head.sentTarget : path
        unsafe request.log.append(request.head.text(target), upTo: bytesMax)
        let authority = request.target.authority
        unsafe request.log.append(authority.isEmpty ? nil : request.head.text(authority), upTo: bytesMax)
        unsafe request.log.append(request.head.value(of: .userAgent), upTo: bytesMax)
        unsafe request.log.append(isWhole ? request.head.value(of: .requestID) : nil, upTo: bytesMax)
        unsafe request.log.append(nil, upTo: bytesMax)
        finish(&request, bytesMax, &epoch, ClaimsView())
    }

    /// Of a head as it is sent on: the record has what the endpoint gets, as Envoy's log.
    @inline(__always)
    static func writeSent(
        _ request: inout Request, _ bytesMax: Int, _ epoch: inout Epoch, isRewritten: Bool, _ claims: ClaimsView
    ) {
        guard isWanted(request.log.record, &epoch.plan) else { return }
        unsafe request.log.append(request.head.method, upTo: bytesMax)
        // As Envoy: the original path is recorded only where a rewrite changed it.
        let shown = request.log.shownTarget
        let original = unsafe shown.isEmpty ? request.head.value(of: .envoyOriginalPath) : request.head.text(shown)
        unsafe request.log.append(isRewritten ? original : nil, upTo: bytesMax)
        unsafe request.log.append(request.head.text(shown.isEmpty ? request.head.sentTarget : shown), upTo: bytesMax)
        unsafe request.log.append(request.head.text(request.head.sentAuthority), upTo: bytesMax)
        unsafe request.log.append(request.head.value(of: .userAgent), upTo: bytesMax)
        unsafe request.log.append(request.head.value(of: .requestID), upTo: bytesMax)
        unsafe request.log.append(request.head.value(of: .forwardedFor), upTo: bytesMax)
        finish(&request, bytesMax, &epoch, claims)
    }

    /// A captured name behind an `@` is the path of a token's claim (`ClaimPath`).
    private static func finish(_ request: inout Request, _ bytesMax: Int, _ epoch: inout Epoch, _ claims: ClaimsView) {
        let scheme: StaticString = request.target.isHTTPS ? "https" : "http"
        unsafe request.log.append(UnsafeRawBufferPointer(start: scheme.utf8Start, count: scheme.utf8CodeUnitCount), upTo: bytesMax)
        for index in epoch.plan.requestHeaders.indices {
            unsafe epoch.plan.requestHeaders[index].withUnsafeBytes { name in
                guard unsafe name.first == UInt8(ascii: "@") else {
                    return unsafe request.log.append(request.head.value(named: name), upTo: bytesMax)
                }
                let place = unsafe claims.entryIndex(at: LentBytes(name).from(1))
                unsafe request.log.append(place.map { unsafe claims.valueText(claims[$0]).buffer }, upTo: bytesMax)
            }
        }
    }

    /// Of a request whose head was never read whole: as much of it as arrived.
    static func writeGlimpse(
        _ log: inout RequestLog, _ bytes: UnsafeRawBufferPointer, _ bytesMax: Int, _ epochs: inout Epochs, _ epoch: SlotID
    ) {
        guard isWanted(log.record, &epochs.all[epoch].plan) else { return }
        let glimpse = unsafe RequestGlimpse(bytes)
        for (place, isThere) in [(glimpse.method, true), (0..<0, false), (glimpse.target, true), (glimpse.host, true)] {
            unsafe log.append(isThere && !place.isEmpty ? UnsafeRawBufferPointer(rebasing: bytes[place]) : nil, upTo: bytesMax)
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
                unsafe log.append(head.value(named: name), upTo: bytesMax)
            }
        }
    }
}

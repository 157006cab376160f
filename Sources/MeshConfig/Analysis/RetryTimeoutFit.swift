/// Time limits of a route that do not go together: tries that the timeout has no room for, limits that are ignored, faults that retries
/// or the timeout do not touch (SKN0355...SKN0359, SKN0368; semantics 2.3, 2.6).
enum RetryTimeoutFit {
    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        for rule in context.configuration.virtualServices {
            for (index, route) in rule.http.enumerated() {
                let path = "spec.http[\(index)]"
                if let retries = route.retries { check(retries, route, rule.id, path, &report) }
                if let fault = route.fault { check(fault, route, rule.id, path, &report) }
            }
        }
    }

    private static func check(_ retries: HTTPRetry, _ route: HTTPRoute, _ id: ResourceID, _ path: String, _ report: inout AnalysisReport) {
        if retries.attempts == nil {
            let isBounded = (retries.perTryTimeoutNanoseconds ?? 0) > 0
            report.add(
                .retriesWithoutAttempts, id, retries.position, "\(path).retries",
                "\(isBounded ? "perTryTimeout" : "retries") without attempts: absent is 0, so nothing is tried again and the rest of it "
                    + "has no effect",
                hint: "Write attempts: 2, or attempts: 0 for none.")
        }
        let attempts = retries.attempts ?? 0
        guard let perTry = retries.perTryTimeoutNanoseconds, perTry > 0, let whole = route.timeoutNanoseconds, whole > 0 else { return }
        if perTry >= whole {
            report.add(
                .perTryTimeoutIgnored, id, retries.position, "\(path).retries.perTryTimeout",
                "perTryTimeout \(DurationText.text(perTry)) is not shorter than the timeout \(DurationText.text(whole)) of all tries "
                    + "together, so it is ignored\(attempts > 0 ? ": the first try may use up all the time" : "")")
            return
        }
        guard attempts > 0 else { return }
        let tries = UInt64(attempts) + 1
        let (needed, overflow) = tries.multipliedReportingOverflow(by: UInt64(perTry))
        guard overflow || needed > UInt64(whole) else { return }
        let room = whole / perTry
        let total = overflow ? "far more" : DurationText.text(Int64(clamping: needed))
        report.add(
            .retriesDoNotFit, id, retries.position, "\(path).retries",
            "\(tries) tries of up to \(DurationText.text(perTry)) take \(total) and the pauses between them; the timeout of "
                + "\(DurationText.text(whole)) has room for \(room)",
            hint: overflow ? nil : "Raise timeout above \(total), or lower attempts to \(max(0, room - 1)), or shorten perTryTimeout.")
    }

    private static func check(
        _ fault: HTTPFaultInjection, _ route: HTTPRoute, _ id: ResourceID, _ path: String, _ report: inout AnalysisReport
    ) {
        if let delay = fault.delay {
            if delay.percentage <= 0 {
                report.add(
                    .faultNeverHappens, id, route.position, "\(path).fault.delay",
                    "the delay has no percentage, or 0, so no request is delayed")
            } else if let whole = route.timeoutNanoseconds, whole > 0, delay.fixedDelayNanoseconds >= whole {
                report.add(
                    .delayOutsideTimeout, id, route.position, "\(path).fault.delay",
                    "the delay of \(DurationText.text(delay.fixedDelayNanoseconds)) is not part of the timeout of "
                        + "\(DurationText.text(whole)): delayed requests take longer, and do not time out for it")
            }
        }
        guard let abort = fault.abort else { return }
        if abort.percentage <= 0 {
            report.add(
                .faultNeverHappens, id, route.position, "\(path).fault.abort",
                "the abort has no percentage, or 0, so no request is aborted")
        } else if abort.percentage >= 100, let retries = route.retries, (retries.attempts ?? 0) > 0 {
            report.add(
                .retriesAfterAbort, id, retries.position, "\(path).retries",
                "every request is aborted by the fault, and an injected abort is never retried")
        }
    }
}

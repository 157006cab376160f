internal import CanaryAnalysis
public import HTTPService
public import Primitives
internal import PromQL

/// `GET /v1/canary` on the query port: is a route's canary as good as its stable version? A verdict with its evidence, as JSON
/// (docs/canary.md). It changes nothing.
///
/// Parameters are those of `CanaryQuestion`, and `start` (a time) or `since` (a duration up to now; default: as long as `max`). Looks with
/// the same `start` are looks at one canary, however many; so are those since before the canary's first request.
///
/// `handle` runs on the server's thread and blocks on nothing; the store is read on the pool.
public final class CanaryAPI: Sendable {
    public static let path = "/v1/canary"
    /// A question takes no longer, waiting included. Milliseconds.
    static let timeoutMilliseconds: UInt64 = 30_000
    /// How far back a question may go, milliseconds.
    static let rangeMax: Int64 = 86_400_000

    private let store: any SeriesQuerying
    private let pool: QueryPool
    private let routes: @Sendable (String) -> [WeightedRoute]
    private let nowMilliseconds: @Sendable () -> Int64

    /// `routes`: routes of the configuration with this `NAMESPACE/VIRTUALSERVICE`; any thread.
    public init(
        store: any SeriesQuerying, pool: QueryPool, routes: @escaping @Sendable (String) -> [WeightedRoute],
        nowMilliseconds: @escaping @Sendable () -> Int64 = { Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000) }
    ) {
        self.store = store
        self.pool = pool
        self.routes = routes
        self.nowMilliseconds = nowMilliseconds
    }

    /// Nil for another path.
    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard request.path == Self.path else { return nil }
        if let refusal = APIReply.refusal(request.method) { return .respond(refusal) }
        let parameters = request.parameters
        let deadline = SystemClock.monotonicNow() + Self.timeoutMilliseconds * 1_000_000
        return pool.answer(responder) { [self] in answer(parameters, deadline, responder) }
    }

    private func answer(
        _ parameters: [(name: String, value: String)], _ deadline: MonotonicInstant, _ responder: Responder
    ) -> ServiceResponse {
        let reader = CanaryReader(store: store, routes: routes) {
            if SystemClock.monotonicNow() >= deadline { return .timedOut }
            return responder.isOpen ? nil : .canceled
        }
        do {
            let question = try CanaryQuestion(parameters, others: ["start", "since"])
            let (window, isFixed) = try Self.stepWindow(question, PrometheusParameters(values: parameters), now: nowMilliseconds())
            let comparison = try reader.read(question, window)
            return APIReply.json(CanaryJSON.answer(question, window, comparison, isFixed: isFixed))
        } catch let problem as CanaryProblem {
            return APIReply.json(CanaryJSON.problemAnswer(problem.text), status: problem.isBadRequest ? 400 : 422)
        } catch QueryFailure.unavailable(let reason) {
            return APIReply.json(CanaryJSON.problemAnswer(reason), status: 503)
        } catch let error as PromQLError {
            return APIReply.json(CanaryJSON.problemAnswer(error.message), status: error == .timedOut ? 503 : 422)
        } catch {
            return APIReply.json(CanaryJSON.problemAnswer("\(error)"), status: 500)
        }
    }

    /// The steps to look at, all of them over: reports of the last one may be under way. `isFixed`: a later look will begin there, too.
    static func stepWindow(
        _ question: CanaryQuestion, _ values: PrometheusParameters, now: Int64
    ) throws(CanaryProblem) -> (window: StepWindow, isFixed: Bool) {
        let since = try CanaryQuestion.length("since", values)
        let start: Int64
        if let text = values.text("start") {
            guard since == nil else { throw .badRequest("write either start or since") }
            guard let time = PrometheusTime.milliseconds(text) else { throw .badRequest("start: write a time (RFC 3339 or Unix seconds)") }
            start = time
        } else {
            let length = since ?? question.settings.durationMax
            guard length >= question.step else { throw .badRequest("since: at least a step") }
            start = now.subtractingReportingOverflow(length).partialValue
        }
        guard start < now, start >= now - rangeMax else { throw .badRequest("at most a day back is looked at, and nothing of the future") }
        let step = question.stepLength(over: now - start)
        let aligned = start - ((start % step) + step) % step
        let count = min(max(1, (now - step - aligned) / step), Int64(CanaryLimits.stepsMax))
        return (StepWindow(start: aligned, length: step, count: Int(clamping: count)), values.text("start") != nil)
    }
}

internal import Collector
internal import HTTPService
internal import OutlierDetection
internal import Primitives
internal import QueryAPI
internal import TelemetryWire

/// `GET /v1/outliers` on the query port, and `/skein/outliers` for the page: what is ejected mesh-wide, and each decision of the last hour
/// with its arithmetic. JSON.
///
/// Parameter: `cluster`, a part of the cluster's name. Any thread.
final class OutlierAPI: Sendable {
    static let path = "/v1/outliers"
    private let service: OutlierService

    init(_ service: OutlierService) { self.service = service }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard request.path == Self.path || PagePath.isNamed("/skein/outliers", request.path) else { return nil }
        if let refusal = APIReply.refusal(request.method, allow: "GET, HEAD") { return .respond(refusal) }
        let part = request.parameter("cluster") ?? ""
        let now = SystemClock.monotonicNow()
        let unix = SystemClock.unixNanoseconds() / 1_000_000
        let body = Self.json(service.picture(now: now), now: now, unixMilliseconds: unix) { part.isEmpty || $0.contains(part) }
        return .respond(ServiceResponse(status: 200, contentType: "application/json", body: Array(body.utf8)))
    }

    private static func json(
        _ picture: OutlierService.Picture, now: MonotonicInstant, unixMilliseconds: UInt64, isWanted: (String) -> Bool
    ) -> String {
        func past(_ instant: MonotonicInstant) -> UInt64 {
            let age = now.nanoseconds(since: instant) / 1_000_000
            return unixMilliseconds > age ? unixMilliseconds - age : 0
        }
        let ejections = picture.ejections.filter { isWanted($0.cluster) }.map { one in
            "{\"cluster\":\(JSONText.quote(one.cluster)),\"endpoint\":\(JSONText.quote("\(one.endpoint)")),"
                + "\"reason\":\"\(one.reason.name)\",\"forMilliseconds\":\(one.until.nanoseconds(since: now) / 1_000_000),"
                + "\"ejections\":\(one.ejections)}"
        }
        let decisions = picture.decisions.filter { isWanted($0.cluster) }.map { one in
            var text = "{\"atUnixMilliseconds\":\(past(one.at)),\"cluster\":\(JSONText.quote(one.cluster)),"
                + "\"endpoint\":\(JSONText.quote("\(one.endpoint)")),\"outcome\":\"\(one.outcome.name)\","
                + "\"hosts\":\(one.hosts),\"ejected\":\(one.ejected)"
            if case .ejected(let until, _) = one.outcome {
                text += ",\"untilUnixMilliseconds\":\(past(one.at) &+ until.nanoseconds(since: one.at) / 1_000_000)"
            }
            if case .unejected(let cause) = one.outcome { text += ",\"cause\":\"\(cause)\"" }
            if let reason = one.reason { text += ",\"reason\":\"\(reason.name)\"" }
            if let reason = one.reason, let evidence = one.evidence { text += "," + json(evidence, reason) }
            return text + "}"
        }
        let size = picture.size
        return "{\"generation\":\(picture.generation),\"reporters\":\(size.reporters),\"clusters\":\(size.clusters),"
            + "\"endpoints\":\(size.endpoints),\"ejections\":[\(ejections.joined(separator: ","))],"
            + "\"decisions\":[\(decisions.joined(separator: ","))]}"
    }

    private static func json(_ evidence: MeshEvidence, _ reason: EjectionReason) -> String {
        let sayings = evidence.sayings.map { saying in
            "{\"reporter\":\(JSONText.quote(saying.reporter)),\"agrees\":\(saying.agrees),\"successes\":\(saying.counts.successes),"
                + "\"errors\":\(saying.counts.errors),\"gatewayErrors\":\(saying.counts.gatewayErrors),"
                + "\"localFailures\":\(saying.counts.localFailures)"
                + (saying.ejected.map { ",\"ejected\":\"\($0.name)\"" } ?? "") + "}"
        }
        return "\"value\":\(evidence.value),\"threshold\":\(evidence.threshold),\"volume\":\(evidence.volume),"
            + "\"reporters\":\(evidence.reporters),\"agreeing\":\(evidence.agreeing),\"voices\":\(evidence.voices),"
            + "\"voicesAgreeing\":\(evidence.voicesAgreeing),\"text\":\(JSONText.quote(evidence.text(reason))),"
            + "\"reports\":[\(sayings.joined(separator: ","))]"
    }
}

extension OutlierService {
    /// How the judge is, for `/metrics`. Any thread.
    func samples() -> [MetricSamples] {
        let picture = picture(now: SystemClock.monotonicNow())
        let (counters, size) = (picture.counters, picture.size)
        func gauge(_ name: String, _ help: String, _ value: Int) -> MetricSamples {
            MetricSamples(name: name, help: help, kind: .gauge, value: Double(value))
        }
        let reasons = zip(EjectionReason.allCases, counters.ejections).filter { $0.1 > 0 }.map { ($0.0.name, Double($0.1)) }
        return [
            gauge("skein_outlier_judge_reporters", "Proxies that report what they see of endpoints.", size.reporters),
            gauge("skein_outlier_judge_endpoints", "Endpoints that the mesh-wide judge knows.", size.endpoints),
            gauge("skein_outlier_judge_ejected", "Endpoints that are ejected mesh-wide now.", size.ejected),
            MetricSamples(
                name: "skein_outlier_judge_ejections_total", help: "Mesh-wide ejections by their reason.", kind: .counter, label: "reason",
                values: reasons),
            MetricSamples(
                name: "skein_outlier_judge_prevented_total", help: "Windows in which an endpoint stood out and was not ejected, by why.",
                kind: .counter, label: "why",
                values: [
                    ("outvoted", Double(counters.outvoted)), ("too_few_reporters", Double(counters.tooFewReporters)),
                    ("max_ejection_percent", Double(counters.preventedByMaxEjectionPercent)),
                    ("min_health_percent", Double(counters.preventedByMinHealthPercent)), ("not_enforced", Double(counters.notEnforced)),
                ]),
            MetricSamples(
                name: "skein_outlier_judge_reports_total", help: "Reports of endpoints, by what became of them.", kind: .counter,
                label: "outcome",
                values: [("taken", Double(counters.reports)), ("repeated", Double(counters.reportsRepeated))]),
            MetricSamples(
                name: "skein_outlier_judge_dropped_total", help: "Parts of reports that were left out, by why.", kind: .counter,
                label: "why", values: [("stale", Double(counters.clustersStale)), ("beyond_limits", Double(counters.beyondLimits))]),
        ].filter { !$0.samples.isEmpty }
    }
}

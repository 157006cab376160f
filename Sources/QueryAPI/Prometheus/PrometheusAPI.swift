public import HTTPService
internal import Matching
public import Primitives
internal import PromQL
internal import TelemetryModel
internal import TelemetryWire

/// Bounds of Prometheus' API; those of a query's own cost are PromQL's.
public enum PrometheusLimits {
    /// A query takes no longer than this, waiting included (Prometheus: `--query.timeout`).
    public static let timeoutMilliseconds: Int64 = 120_000
    /// Names, values or series of one answer when no limit is asked for.
    public static let itemsMax = 1_000_000
    /// Exemplars of one answer.
    public static let exemplarsMax = 10_000
    /// Selectors of one request.
    public static let selectorsMax = 1000
}

/// Prometheus' HTTP API over the series kept here (prometheus.io/docs/prometheus/latest/querying/api), under `/api/v1` and
/// `/prometheus/api/v1`: what Grafana's Prometheus data source asks for.
///
/// `handle` runs on the server's thread and blocks on nothing; the store is read on the pool.
public final class PrometheusAPI: Sendable {
    private enum Endpoint: Equatable {
        case query, queryRange, exemplars, formatQuery, parseQuery, series, labels, metadata
        case labelValues(String)
        case status(String)
        case fixed(String)
    }

    private let store: any SeriesQuerying
    private let pool: QueryPool
    private let version: String
    private let engine = PromQLEngine()
    private let nowMilliseconds: @Sendable () -> Int64
    private let startMilliseconds: Int64

    public init(
        store: any SeriesQuerying, pool: QueryPool, version: String,
        nowMilliseconds: @escaping @Sendable () -> Int64 = { Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000) }
    ) {
        self.store = store
        self.pool = pool
        self.version = version
        self.nowMilliseconds = nowMilliseconds
        startMilliseconds = nowMilliseconds()
    }

    /// Answers a path of Prometheus' API; nil for any other.
    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard let endpoint = Self.endpointFor(request.path) else { return nil }
        let takesForms = [.query, .queryRange, .exemplars, .formatQuery, .parseQuery, .series, .labels].contains(endpoint)
        let allow = takesForms ? "GET, HEAD, POST, OPTIONS" : "GET, HEAD, OPTIONS"
        if !(takesForms && request.method == "POST"), let refusal = APIReply.refusal(request.method, allow: allow) {
            return .respond(refusal)
        }
        var values = request.parameters
        if request.method == "POST", request.header("content-type")?.lowercased().hasPrefix("application/x-www-form-urlencoded") == true {
            // As Go's ParseForm: what the body says comes first.
            values = unsafe QueryString.parse(String(decoding: request.body, as: UTF8.self)) + values
        }
        let parameters = PrometheusParameters(values: values)
        let acceptsGzip = request.acceptsGzip
        let begun = SystemClock.monotonicNow()
        let isAccepted = pool.submit { [self] in
            responder.respond(answer(endpoint, parameters, begun, responder).coded(acceptsGzip: acceptsGzip))
        }
        if isAccepted { return .later }
        let text = "too many queries at once (\(pool.queueMax) are waiting): try again later"
        return .respond(Self.response(PrometheusError(kind: .unavailable, text: text)))
    }

    private static func endpointFor(_ path: String) -> Endpoint? {
        var rest = Substring(path)
        if rest.hasPrefix("/prometheus/") { rest = rest.dropFirst("/prometheus".utf8.count) }
        // Where the page stands as well.
        if rest.hasPrefix("/zipkin/") { rest = rest.dropFirst("/zipkin".utf8.count) }
        guard rest.hasPrefix("/api/v1/") else { return nil }
        switch rest.dropFirst("/api/v1/".utf8.count) {
        case "query": return .query
        case "query_range": return .queryRange
        case "query_exemplars": return .exemplars
        case "format_query": return .formatQuery
        case "parse_query": return .parseQuery
        case "series": return .series
        case "labels": return .labels
        case "metadata": return .metadata
        case "rules": return .fixed("{\"groups\":[]}")
        case "alerts": return .fixed("{\"alerts\":[]}")
        case "targets": return .fixed("{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}")
        case let status where status.hasPrefix("status/"): return .status(String(status.dropFirst("status/".utf8.count)))
        case let name where name.hasPrefix("label/") && name.hasSuffix("/values"):
            let label = name.dropFirst("label/".utf8.count).dropLast("/values".utf8.count)
            return label.contains("/") ? nil : .labelValues(EscapedName.decode(QueryString.decode(label.utf8)))
        default: return nil
        }
    }

    // MARK: On the pool

    /// Every error becomes an answer.
    private func answer(
        _ endpoint: Endpoint, _ parameters: PrometheusParameters, _ begun: MonotonicInstant, _ responder: Responder
    ) -> ServiceResponse {
        do {
            switch endpoint {
            case .query: return try runQuery(parameters, begun, responder)
            case .queryRange: return try queryRange(parameters, begun, responder)
            case .formatQuery: return try formatQuery(parameters)
            case .parseQuery: return try parseQuery(parameters)
            case .exemplars: return try exemplars(parameters)
            case .series: return try series(parameters)
            case .labels:
                let names = try store.labelNames(seriesSelectors(parameters), in: parameters.timeRange())
                return try strings(names, parameters)
            case .labelValues(let name):
                guard !name.isEmpty else { throw PrometheusError.badData("invalid label name: \"\"") }
                return try strings(store.labelValues(name, seriesSelectors(parameters), in: parameters.timeRange()), parameters)
            case .metadata: return try metadata(parameters)
            case .status(let page): return try statusPage(page, parameters)
            case .fixed(let text): return APIReply.json(PrometheusJSON.successAnswer { $0.append(text: text) })
            }
        } catch let error as PrometheusError {
            return Self.response(error)
        } catch let error as PromQLError {
            return Self.response(error)
        } catch QueryFailure.unavailable(let reason) {
            return Self.response(PrometheusError(kind: .unavailable, text: reason))
        } catch {
            return Self.response(PrometheusError(kind: .internal, text: "\(error)"))
        }
    }

    private static func response(_ error: PrometheusError) -> ServiceResponse {
        APIReply.json(PrometheusJSON.errorAnswer(error), status: error.status)
    }

    private static func response(_ error: PromQLError) -> ServiceResponse {
        let kind = PrometheusError.Kind(rawValue: error.kind.rawValue) ?? .internal
        var text = error.message
        if case .parse = error { text = "invalid parameter \"query\": \(text)" }
        return response(PrometheusError(kind: kind, text: text))
    }

    // MARK: Queries

    private func runQuery(_ parameters: PrometheusParameters, _ begun: MonotonicInstant, _ responder: Responder) throws -> ServiceResponse {
        let limit = try parameters.itemLimit()
        let time = try parameters.time("time") ?? nowMilliseconds()
        let engine = try engine(parameters)
        let interruption = try interruption(parameters, begun, responder)
        let text = parameters.text("query") ?? ""
        var statistics = QueryStatistics(received: begun)
        let expression = try engine.parse(text)
        let source = try store.openSource()
        statistics.notePrepared()
        let result = try engine.evaluate(expression, at: time, over: source, isInterrupted: interruption)
        statistics.noteEnd(result.cost)
        return Self.response(result, text, time, limit, parameters.text("stats") == nil ? nil : statistics)
    }

    private func queryRange(
        _ parameters: PrometheusParameters, _ begun: MonotonicInstant, _ responder: Responder
    ) throws -> ServiceResponse {
        let limit = try parameters.itemLimit()
        let start = try parameters.requiredTime("start")
        let end = try parameters.requiredTime("end")
        guard end >= start else { throw PrometheusError.parameter("end", "end timestamp must not be before start time") }
        guard let step = try parameters.length("step") else {
            throw PrometheusError.parameter("step", "cannot parse \"\" to a valid duration")
        }
        guard step > 0 else {
            let text = "zero or negative query resolution step widths are not accepted. Try a positive integer"
            throw PrometheusError.parameter("step", text)
        }
        let engine = try engine(parameters)
        let interruption = try interruption(parameters, begun, responder)
        let text = parameters.text("query") ?? ""
        var statistics = QueryStatistics(received: begun)
        let source = try store.openSource()
        let expression = try engine.parse(text)
        statistics.notePrepared()
        let result = try engine.evaluate(
            expression, from: start, through: end, step: step, over: source, isInterrupted: interruption)
        statistics.noteEnd(result.cost)
        return Self.response(result, text, end, limit, parameters.text("stats") == nil ? nil : statistics)
    }

    private func engine(_ parameters: PrometheusParameters) throws -> PromQLEngine {
        var engine = engine
        guard let text = parameters.text("lookback_delta") else { return engine }
        guard case .milliseconds(let lookback) = PrometheusTime.length(text), lookback > 0 else {
            let quoted = PrometheusParameters.quoted(text)
            throw PrometheusError.badData("error parsing lookback delta duration: cannot parse \(quoted) to a valid duration")
        }
        engine.lookback = lookback
        return engine
    }

    private func interruption(
        _ parameters: PrometheusParameters, _ begun: MonotonicInstant, _ responder: Responder
    ) throws -> () -> PromQLInterruption? {
        let asked = try parameters.length("timeout") ?? PrometheusLimits.timeoutMilliseconds
        let nanoseconds = UInt64(clamping: min(asked, PrometheusLimits.timeoutMilliseconds)) * 1_000_000
        let deadline = begun.nanoseconds + nanoseconds
        return {
            if SystemClock.monotonicNow().nanoseconds >= deadline { return .timedOut }
            return responder.isOpen ? nil : .canceled
        }
    }

    private static func response(
        _ result: QueryResult, _ query: String, _ time: Int64, _ limit: Int?, _ statistics: QueryStatistics?
    ) -> ServiceResponse {
        var value = result.value
        var warnings = result.annotations.filter { $0.level == .warning }.map { $0.message(in: query) }
        let infos = result.annotations.filter { $0.level == .info }.map { $0.message(in: query) }
        if let limit, cut(&value, to: limit) { warnings.append("results truncated due to limit") }
        let body = PrometheusJSON.successAnswer(warnings: warnings, infos: infos) {
            PrometheusJSON.append(value, time: time, statistics, to: &$0)
        }
        return APIReply.json(body)
    }

    /// Whether something was left out.
    private static func cut(_ value: inout QueryValue, to limit: Int) -> Bool {
        switch value {
        case .vector(let samples) where samples.count > limit: value = .vector(Array(samples.prefix(limit)))
        case .matrix(let series) where series.count > limit: value = .matrix(Array(series.prefix(limit)))
        default: return false
        }
        return true
    }

    private func formatQuery(_ parameters: PrometheusParameters) throws -> ServiceResponse {
        let expression = try engine.parse(parameters.text("query") ?? "")
        return APIReply.json(PrometheusJSON.successAnswer { $0.append(jsonString: PrettyPrinter.text(of: expression)) })
    }

    private func parseQuery(_ parameters: PrometheusParameters) throws -> ServiceResponse {
        let expression = try engine.parse(parameters.text("query") ?? "")
        return APIReply.json(PrometheusJSON.successAnswer { ExpressionTree.append(expression, to: &$0) })
    }

    /// Exemplars of every selector in the expression, as Prometheus' `query_exemplars` has them.
    private func exemplars(_ parameters: PrometheusParameters) throws -> ServiceResponse {
        let range = try parameters.timeRange()
        let selectors = try engine.parse(parameters.text("query") ?? "").selectors.map(\.matchers)
        let limit = PrometheusLimits.exemplarsMax
        let (found, isCut) = try store.exemplars(selectors, in: range, limit: limit)
        let warnings = isCut ? ["only the last \(limit) exemplars are shown"] : []
        return APIReply.json(PrometheusJSON.successAnswer(warnings: warnings) { bytes in
            PrometheusJSON.appendList(found, to: &bytes) { PrometheusJSON.append(exemplars: $0.exemplars, of: $0.labels, to: &$1) }
        })
    }

    // MARK: What there is

    private func seriesSelectors(_ parameters: PrometheusParameters) throws -> [[LabelMatcher]] {
        let texts = parameters.all("match[]")
        guard texts.count <= PrometheusLimits.selectorsMax else {
            throw PrometheusError.badData("at most \(PrometheusLimits.selectorsMax) match[] parameters are taken")
        }
        return try texts.map { text in
            let expression: Expression
            do throws(PromQLError) {
                expression = try engine.parse(text)
            } catch {
                throw PrometheusError.parameter("match[]", error.message)
            }
            guard case .selector(let selector) = expression else {
                let quoted = PrometheusParameters.quoted(text)
                throw PrometheusError.parameter("match[]", "expected a selector such as up{job=\"a\"}, not \(quoted)")
            }
            return selector.matchers
        }
    }

    private func series(_ parameters: PrometheusParameters) throws -> ServiceResponse {
        let selectors = try seriesSelectors(parameters)
        guard !selectors.isEmpty else { throw PrometheusError.badData("no match[] parameter provided") }
        let found = try store.series(selectors, in: parameters.timeRange())
        let limit = try parameters.itemLimit() ?? PrometheusLimits.itemsMax
        return APIReply.json(PrometheusJSON.successAnswer(warnings: Self.warning(found.count, limit)) { bytes in
            PrometheusJSON.appendList(Array(found.prefix(limit)), to: &bytes) { PrometheusJSON.append($0, to: &$1) }
        })
    }

    private func strings(_ found: [String], _ parameters: PrometheusParameters) throws -> ServiceResponse {
        let limit = try parameters.itemLimit() ?? PrometheusLimits.itemsMax
        let shown = Array(found.prefix(limit))
        return APIReply.json(PrometheusJSON.successAnswer(warnings: Self.warning(found.count, limit)) { $0.append(jsonStrings: shown) })
    }

    private static func warning(_ count: Int, _ limit: Int) -> [String] { count > limit ? ["results truncated due to limit"] : [] }

    private func metadata(_ parameters: PrometheusParameters) throws -> ServiceResponse {
        let limit = try parameters.itemLimit() ?? PrometheusLimits.itemsMax
        let metric = parameters.text("metric")
        let known = store.metadata().filter { metric == nil || $0.key == metric }.sorted { $0.key < $1.key }.prefix(limit)
        return APIReply.json(PrometheusJSON.successAnswer { bytes in
            bytes.append(UInt8(ascii: "{"))
            for (index, one) in known.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                bytes.append(jsonString: one.key)
                bytes.append(text: ":[{\"type\":\"\(one.value.type)\",\"help\":")
                bytes.append(jsonString: one.value.help)
                bytes.append(text: ",\"unit\":")
                bytes.append(jsonString: one.value.unit)
                bytes.append(text: "}]")
            }
            bytes.append(UInt8(ascii: "}"))
        })
    }

    // MARK: About this server

    private func statusPage(_ page: String, _ parameters: PrometheusParameters) throws -> ServiceResponse {
        let status = PrometheusStatus(store: store, version: version, startMilliseconds: startMilliseconds)
        guard let body = try status.statusJSON(page, parameters) else {
            return Self.response(PrometheusError(kind: .notFound, text: "no such page: status/\(page.prefix(64))"))
        }
        return APIReply.json(PrometheusJSON.successAnswer { $0.append(contentsOf: body) })
    }
}

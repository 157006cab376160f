internal import TelemetryModel
internal import TelemetryWire

/// A search as Jaeger's two APIs ask for it: which spans, when, how many.
struct JaegerSearch {
    var condition: SpansetCondition
    var range: TraceQuery
    var limit: Int
}

/// Query parameters of Jaeger's APIs (jaeger's query_parser of v1, and of v3 in both spellings) from text. Pure.
struct JaegerParameters {
    /// Traces of one answer: a greater `limit` is read as this.
    static let tracesMax = 1_500
    /// What Jaeger takes where a query names none.
    private static let limitDefault = 100
    private static let millisecondsPerDay: UInt64 = 86_400_000

    let values: [(name: String, value: String)]
    let nowMilliseconds: UInt64
    /// Milliseconds, where neither `start` nor `lookback` says.
    let lookbackDefault: UInt64

    /// The first parameter of one of these names; an empty one counts as absent.
    func text(_ names: String...) -> (name: String, value: String)? {
        for name in names {
            if let found = values.first(where: { $0.name == name && !$0.value.isEmpty }) { return found }
        }
        return nil
    }

    // MARK: v1

    func search() throws(ParameterError) -> JaegerSearch {
        guard let service = text("service")?.value else { throw ParameterError(text: "parameter 'service' is required") }
        var conditions: [SpanCondition] = [.compare(.service, .equal, .text(service))]
        if let operation = text("operation")?.value { conditions.append(.compare(.name, .equal, .text(operation))) }
        conditions += try durations("minDuration", "maxDuration")
        for tag in values where tag.name == "tag" {
            guard let colon = tag.value.firstIndex(of: ":") else {
                throw malformed("tag", "write key:value, not \(ZipkinParameters.quoted(tag.value))")
            }
            conditions.append(Self.tag(String(tag.value[..<colon]), String(tag.value[tag.value.index(after: colon)...])))
        }
        for tags in values where tags.name == "tags" && !tags.value.isEmpty { conditions += try attributeConditions(tags) }
        return JaegerSearch(condition: .span(.all(conditions)), range: try rangeOfMicroseconds(), limit: try limit("limit"))
    }

    private func rangeOfMicroseconds() throws(ParameterError) -> TraceQuery {
        var query = TraceQuery(endTimestamp: nowMilliseconds)
        if let end = try whole("end") { query.endTimestamp = Self.roundedUp(end) }
        query.lookback = lookbackDefault
        if let start = try whole("start") {
            query.lookback = query.endTimestamp > start / 1000 ? query.endTimestamp - start / 1000 : 1
        } else if let lookback = text("lookback"), lookback.value != "custom" {
            guard let length = GoDuration.nanoseconds(lookback.value) else {
                throw malformed("lookback", "write 1h or 2d, not \(ZipkinParameters.quoted(lookback.value))")
            }
            query.lookback = max(1, UInt64(length / 1e6))
        }
        return query
    }

    /// Milliseconds in which these microseconds lie, at least 1.
    private static func roundedUp(_ microseconds: UInt64) -> UInt64 { max(1, microseconds / 1000 + (microseconds % 1000 == 0 ? 0 : 1)) }

    /// Milliseconds since 1970 and back: `endTs` and `lookback` of `/api/dependencies`.
    func dependencyRange() throws(ParameterError) -> (end: UInt64, lookback: UInt64) {
        (max(1, try whole("endTs") ?? nowMilliseconds), max(1, try whole("lookback") ?? Self.millisecondsPerDay))
    }

    private func whole(_ name: String) throws(ParameterError) -> UInt64? {
        guard let text = text(name)?.value else { return nil }
        guard let number = Int64(text), number >= 0 else {
            throw malformed(name, "expected a whole number, not \(ZipkinParameters.quoted(text))")
        }
        return UInt64(number)
    }

    // MARK: v3

    /// Refuses what would change the answer and is not supported.
    func searchV3() throws(ParameterError) -> JaegerSearch {
        for name in ["query.filter", "query.orderBy", "query.pagination.pageSize", "query.pagination.pageToken"] where text(name) != nil {
            throw ParameterError(text: "parameter \(name) is not supported; narrow the search by query.serviceName, query.operationName, "
                + "query.attributes, query.durationMin and query.durationMax")
        }
        var conditions: [SpanCondition] = []
        if let service = text("query.serviceName", "query.service_name")?.value {
            conditions.append(.compare(.service, .equal, .text(service)))
        }
        if let operation = text("query.operationName", "query.operation_name")?.value {
            conditions.append(.compare(.name, .equal, .text(operation)))
        }
        conditions += try durations(
            text("query.durationMin", "query.duration_min")?.name, text("query.durationMax", "query.duration_max")?.name)
        if let attributes = text("query.attributes") { conditions += try attributeConditions(attributes) }
        var query = TraceQuery(endTimestamp: nowMilliseconds)
        if let end = try time("query.startTimeMax", "query.start_time_max") { query.endTimestamp = end == .max ? end : end + 1 }
        query.lookback = lookbackDefault
        if let start = try time("query.startTimeMin", "query.start_time_min") {
            query.lookback = query.endTimestamp > start ? query.endTimestamp - start : 1
        }
        let depth = text("query.searchDepth", "query.search_depth", "query.num_traces")?.name ?? "query.searchDepth"
        return JaegerSearch(
            condition: .span(conditions.isEmpty ? .constant(true) : .all(conditions)), range: query, limit: try limit(depth))
    }

    /// Milliseconds since 1970, at least 1.
    func time(_ names: String...) throws(ParameterError) -> UInt64? {
        for name in names {
            guard let text = text(name)?.value else { continue }
            // A plus sign that was not escaped has been read as a space.
            guard let time = RFC3339.milliseconds(text.replacing(" ", with: "+")) else {
                throw malformed(name, "expected a time such as 2026-01-02T03:04:05Z, not \(ZipkinParameters.quoted(text))")
            }
            return UInt64(max(1, time))
        }
        return nil
    }

    // MARK: Both

    private func limit(_ name: String) throws(ParameterError) -> Int {
        guard let number = try whole(name), number > 0 else { return Self.limitDefault }
        return Int(min(number, UInt64(Self.tracesMax)))
    }

    private func durations(_ least: String?, _ greatest: String?) throws(ParameterError) -> [SpanCondition] {
        var bounds: [Double] = []
        var conditions: [SpanCondition] = []
        for (name, comparison) in [(least, SpanComparison.greaterOrEqual), (greatest, .lessOrEqual)] {
            guard let name, let text = text(name)?.value else { continue }
            guard let length = GoDuration.nanoseconds(text) else {
                throw malformed(name, "expected a duration such as 1.5s or 100ms, not \(ZipkinParameters.quoted(text))")
            }
            bounds.append(length)
            conditions.append(.compare(.duration, comparison, .duration(nanoseconds: length)))
        }
        if bounds.count == 2, bounds[1] < bounds[0] {
            throw ParameterError(text: "'\(greatest ?? "")' should be greater than '\(least ?? "")'")
        }
        return conditions
    }

    private func attributeConditions(_ parameter: (name: String, value: String)) throws(ParameterError) -> [SpanCondition] {
        do throws(JSONTextMap.Problem) {
            return try JSONTextMap.parse(parameter.value).map { Self.tag($0.name, $0.value) }
        } catch {
            throw malformed(parameter.name, "expected an object of texts such as {\"error\":\"true\"}: \(error.text)")
        }
    }

    private static func tag(_ key: String, _ value: String) -> SpanCondition {
        // What Jaeger calls the tag `error` is stored as a tag that says what happened.
        if key == "error", value == "true" || value == "false" { return .compare(.tag(key), .equal, .boolean(value == "true")) }
        return .compare(.tag(key), .equal, .text(value))
    }

    private func malformed(_ name: String, _ reason: String) -> ParameterError {
        ParameterError(text: "unable to parse param '\(name)': \(reason)")
    }
}

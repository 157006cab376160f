/// What a request to Prometheus' API asks for, from its query and its form. Errors have Prometheus' words.
struct PrometheusParameters {
    let values: [(name: String, value: String)]

    /// The first of that name; an empty one counts as absent.
    func text(_ name: String) -> String? {
        guard let value = values.first(where: { $0.name == name })?.value, !value.isEmpty else { return nil }
        return value
    }

    func all(_ name: String) -> [String] { values.filter { $0.name == name }.map(\.value) }

    /// Milliseconds since 1970; nil = not given.
    func time(_ name: String) throws(PrometheusError) -> Int64? {
        guard let text = text(name) else { return nil }
        guard let time = PrometheusTime.milliseconds(text) else {
            throw .parameter(name, "cannot parse \(Self.quoted(text)) to a valid timestamp")
        }
        return time
    }

    /// As `time`, of parameters that have to be there.
    func requiredTime(_ name: String) throws(PrometheusError) -> Int64 {
        guard let time = try time(name) else { throw .parameter(name, "cannot parse \"\" to a valid timestamp") }
        return time
    }

    /// Milliseconds.
    func length(_ name: String) throws(PrometheusError) -> Int64? {
        guard let text = text(name) else { return nil }
        switch PrometheusTime.length(text) {
        case .milliseconds(let value): return value
        case .overflow: throw .parameter(name, "cannot parse \(Self.quoted(text)) to a valid duration. It overflows int64")
        case .none: throw .parameter(name, "cannot parse \(Self.quoted(text)) to a valid duration")
        }
    }

    /// Items of an answer at most; nil = all.
    func itemLimit(_ name: String = "limit") throws(PrometheusError) -> Int? {
        guard let text = text(name) else { return nil }
        guard let value = Int(text) else { throw .parameter(name, "strconv.Atoi: parsing \(Self.quoted(text)): invalid syntax") }
        guard value >= 0 else { throw .parameter(name, "limit must be non-negative") }
        return value == 0 ? nil : value
    }

    /// The range of `start` and `end`, each open where it is not given.
    func timeRange() throws(PrometheusError) -> ClosedRange<Int64> {
        let start = try time("start") ?? PrometheusTime.earliest
        let end = try time("end") ?? PrometheusTime.latest
        guard start <= end else { throw .badData("end timestamp must not be before start time") }
        return start...end
    }

    /// As Go's %q, for what people type.
    static func quoted(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n") + "\""
    }
}

/// An answer of Prometheus' API that is an error.
struct PrometheusError: Error, Equatable {
    enum Kind: String {
        case badData = "bad_data"
        case timeout, canceled, execution, `internal`, unavailable
        case notFound = "not_found"
    }

    var kind: Kind
    var text: String

    /// Prometheus' web/api/v1 `respondError`.
    var status: UInt16 {
        switch kind {
        case .badData: 400
        case .execution: 422
        case .canceled: 499
        case .internal: 500
        case .timeout, .unavailable: 503
        case .notFound: 404
        }
    }

    static func badData(_ text: String) -> PrometheusError { PrometheusError(kind: .badData, text: text) }
    static func parameter(_ name: String, _ text: String) -> PrometheusError { badData("invalid parameter \"\(name)\": \(text)") }
}

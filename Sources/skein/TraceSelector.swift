/// What options of `skein traces` mean in TraceQL: one span has all of it, and `selector` is met besides. Pure.
struct TraceSelector {
    struct Problem: Error, Equatable {
        var text: String
    }

    var service: String?
    var span: String?
    /// `key=value` or `key`.
    var tags: [String] = []
    /// `error`, `ok`, `503` or `5xx`.
    var status: String?
    var min: String?
    var max: String?
    /// `{…}` of its own.
    var selector: String?

    func text() throws(Problem) -> String {
        var conditions: [String] = []
        if let service { conditions.append("resource.service.name = \(Self.quoted(service))") }
        if let span { conditions.append("name = \(Self.quoted(span))") }
        for tag in tags { conditions.append(try Self.condition(tag)) }
        if let status { conditions.append(try Self.condition(status: status)) }
        for (option, comparison, text) in [("--min", ">=", min), ("--max", "<=", max)] {
            guard let text else { continue }
            guard let length = TracesCommand.microseconds(text) else { throw Problem(text: "\(option) \(text): write 100ms or 1.5s") }
            conditions.append("duration \(comparison) \(length)us")
        }
        let own = conditions.isEmpty ? nil : "{ \(conditions.joined(separator: " && ")) }"
        return [own, selector.map { own == nil ? $0 : "(\($0))" }].compactMap(\.self).joined(separator: " && ")
    }

    private static func condition(_ tag: String) throws(Problem) -> String {
        let parts = tag.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let key = parts.first, !key.isEmpty else { throw Problem(text: "--tag \(tag): write key=value or key") }
        return parts.count == 1 ? ".\(quoted(key)) != nil" : ".\(quoted(key)) = \(quoted(parts[1]))"
    }

    /// By both names that OpenTelemetry's conventions had for it.
    private static func condition(status text: String) throws(Problem) -> String {
        if text == "error" || text == "ok" { return "status = \(text)" }
        let digits = Array(text)
        let range: (Int, Int)
        if digits.count == 3, let first = digits[0].wholeNumberValue, (1...5).contains(first), text.lowercased().hasSuffix("xx") {
            range = (first * 100, first * 100 + 99)
        } else if let code = Int(text), (100...599).contains(code) {
            range = (code, code)
        } else {
            throw Problem(text: "--status \(text): write error, ok, a status code (503) or a class of them (5xx)")
        }
        let names = [".http.status_code", ".http.response.status_code"]
        return "(" + names.map { "(\($0) >= \(range.0) && \($0) <= \(range.1))" }.joined(separator: " || ") + ")"
    }

    private static func quoted(_ text: String) -> String {
        let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
        return "\"" + escaped.replacing("\r", with: "\\r") + "\""
    }
}

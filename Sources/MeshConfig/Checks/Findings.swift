/// Collects what the checks of one resource find. Keeps `kept` diagnostics and counts the rest, so that a file of a
/// hundred thousand mistakes costs no more than reading it. The checks of a resource share one; on one thread.
final class Findings {
    static let kept = 250

    let resource: ResourceID?
    private(set) var items: [Diagnostic] = []
    /// Severities of what was found beyond `kept`.
    private(set) var uncounted: [Diagnostic.Severity: Int] = [:]
    /// Further messages would be thrown away: callers skip costly explanations.
    var isFull: Bool { items.count >= Findings.kept }

    init(resource: ResourceID?) { self.resource = resource }

    func add(
        _ severity: Diagnostic.Severity, _ code: DiagnosticCode, _ position: SourcePosition, _ field: String, _ message: String
    ) {
        guard !isFull else {
            uncounted[severity, default: 0] += 1
            return
        }
        items.append(
            Diagnostic(
                severity: severity, code: code.rawValue, position: position, resource: resource, field: field, message: message))
    }

    func error(_ position: SourcePosition, _ field: String, _ message: String, code: DiagnosticCode = .schema) {
        add(.error, code, position, field, message)
    }

    func warn(_ position: SourcePosition, _ field: String, _ message: String, code: DiagnosticCode = .schemaWarning) {
        add(.warning, code, position, field, message)
    }

    /// A required text field.
    func require(_ reader: NodeReader, _ name: String, _ what: String) {
        if let node = reader.node(name), node.scalar?.text.isEmpty != true { return }
        error(reader.position(name), "\(reader.path).\(name)", "\(name) is required: \(what)")
    }

    func range(_ reader: NodeReader, _ name: String, _ range: ClosedRange<Int64>, _ unit: String = "") {
        guard let value = reader.integer(name), !range.contains(value) else { return }
        error(
            reader.position(name), "\(reader.path).\(name)",
            "\(value) is out of range; accepted: \(range.lowerBound) to \(range.upperBound)\(unit)", code: .outOfRange)
    }

    func percent(_ reader: NodeReader, _ name: String) {
        guard let value = reader.double(name), !(0...100).contains(value) else { return }
        error(reader.position(name), "\(reader.path).\(name)", "\(value) is out of range; accepted: 0 to 100 (percent)", code: .outOfRange)
    }

    /// A fault's share in percent: 0, or at least what one in a million is.
    func share(_ reader: NodeReader, _ name: String) {
        percent(reader, name)
        guard let value = reader.double(name), value > 0, value < 0.0001 else { return }
        error(
            reader.position(name), "\(reader.path).\(name)", "\(value) is out of range; accepted: 0, or 0.0001 to 100 (percent)",
            code: .outOfRange)
    }

    /// Istio's rule for durations: whole milliseconds; 0 where it means "none".
    func duration(_ reader: NodeReader, _ name: String, zeroAllowed: Bool) {
        guard let value = reader.nanoseconds(name), value >= 0 else { return }
        if value == 0, zeroAllowed { return }
        guard value < 1_000_000 || value % 1_000_000 != 0 else { return }
        error(
            reader.position(name), "\(reader.path).\(name)",
            "\"\(reader.string(name) ?? "")\" is \(value < 1_000_000 ? "too short" : "no whole number of milliseconds"); accepted: 1ms "
                + "or more, in whole milliseconds\(zeroAllowed ? ", or 0s for none" : "")",
            code: .badDuration)
    }

    func host(_ reader: NodeReader, _ name: String, wildcard: Bool) {
        guard let host = reader.string(name), !host.isEmpty else { return }
        guard IPAddress.family(host) == nil, let problem = HostName.hostProblem(host, wildcard: wildcard) else { return }
        error(reader.position(name), "\(reader.path).\(name)", "host \"\(host)\" \(problem)")
    }
}

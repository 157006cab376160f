/// Names of fields in TraceQL, and in the paths and parameters of Tempo's API.
enum TraceQLField {
    /// Those of a span itself, in the form in which clients are told of them.
    static let intrinsics = ["duration", "kind", "name", "rootName", "rootServiceName", "status", "statusMessage", "traceDuration"]

    /// Nil when the name is no field that is supported.
    static func parse(_ name: String) -> SpanField? {
        switch name {
        case "name", "span:name": return .name
        case "duration", "span:duration": return .duration
        case "status", "span:status": return .status
        case "statusMessage", "span:statusMessage": return .statusMessage
        case "kind", "span:kind": return .kind
        case "rootName", "trace:rootName": return .rootName
        case "rootServiceName", "rootService", "trace:rootService": return .rootService
        case "traceDuration", "trace:duration": return .traceDuration
        case "nestedSetParent": return .isRoot
        case "instrumentation:name": return .tag("otel.scope.name")
        case "instrumentation:version": return .tag("otel.scope.version")
        default: break
        }
        for scope in ["resource.", "span.", "."] where name.hasPrefix(scope) && name.count > scope.count {
            let key = String(name.dropFirst(scope.count))
            return key == "service.name" ? .service : .tag(key)
        }
        return nil
    }

    /// A tag of the older API, without a scope: `service.name`, `name`, `http.status_code`.
    static func unscoped(_ name: String) -> SpanField {
        switch name {
        case "service.name": .service
        case "root.name": .rootName
        case "root.service.name": .rootService
        default: parse(name) ?? .tag(name)
        }
    }

    /// The key that an answer shows a field's value under.
    static func key(_ field: SpanField) -> String? {
        switch field {
        case .name: "name"
        case .service: "service.name"
        case .kind: "kind"
        case .status: "status"
        case .statusMessage: "statusMessage"
        case .duration: "duration"
        case .traceDuration: "traceDuration"
        case .rootName: "rootName"
        case .rootService: "rootServiceName"
        case .isRoot: nil
        case .tag(let key): key
        }
    }
}

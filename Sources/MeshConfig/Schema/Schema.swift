/// The Istio API as data: what `SchemaValidator` holds a document against and what docs/configuration-resources.md lists.
///
/// Tables are written in a small notation (`SchemaTables`), one message per block:
///
///     Message
///       field type          `string bool int32 uint32 int64 uint64 double duration port any`, an enum, a message,
///       field [type]        a list, `{type}` a map with text keys, `{#type}` with port numbers as keys
///       oneof a b c         at most one of these fields
///     enum Name A B C       accepted names, case-sensitive
///
/// Text after ` -- ` documents the field (meaning; default; unit).
struct Schema: Sendable {
    indirect enum FieldType: Sendable, Equatable {
        case string, bool, int32, uint32, int64, uint64, double, duration
        /// 1...65535
        case port
        /// Opaque: checked by nobody here.
        case any
        case enumeration(String)
        case message(String)
        case list(FieldType)
        case map(FieldType)
        case portMap(FieldType)
    }

    struct Field: Sendable {
        var name: String
        var type: FieldType
        var typeText: String
        var documentation: String
    }

    struct Message: Sendable {
        var name: String
        var fields: [Field] = []
        var oneOfs: [[String]] = []

        func field(named name: String) -> Field? { fields.first { $0.name == name } }
    }

    private(set) var messages: [String: Message] = [:]
    private(set) var enums: [String: [String]] = [:]
    /// Lines of the notation that mean nothing; a test holds this empty.
    private(set) var malformed: [String] = []

    static let istio = Schema(SchemaTables.networking + SchemaTables.policy + SchemaTables.mesh)

    /// Resource kinds: API group, message of `spec`, accepted versions.
    struct Kind: Sendable {
        var group: String
        var message: String
        var versions: [String]
    }

    static let kinds: [String: Kind] = {
        var table: [String: Kind] = [:]
        for kind in [
            "VirtualService", "DestinationRule", "ServiceEntry", "WorkloadEntry", "WorkloadGroup", "Sidecar", "Gateway",
            "EnvoyFilter", "ProxyConfig",
        ] {
            table[kind] = Kind(group: "networking.istio.io", message: kind, versions: ["v1alpha3", "v1beta1", "v1"])
        }
        for kind in ["PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication"] {
            table[kind] = Kind(group: "security.istio.io", message: kind, versions: ["v1beta1", "v1"])
        }
        table["Telemetry"] = Kind(group: "telemetry.istio.io", message: "Telemetry", versions: ["v1alpha1", "v1"])
        // Ours: what Istio leaves to EnvoyFilter.
        table["RateLimit"] = Kind(group: "skein.io", message: "RateLimit", versions: ["v1"])
        table["UpstreamPolicy"] = Kind(group: "skein.io", message: "UpstreamPolicy", versions: ["v1"])
        table["MeshOutlierDetection"] = Kind(group: "skein.io", message: "MeshOutlierDetection", versions: ["v1"])
        for kind in ["WasmPlugin", "TrafficExtension"] {
            table[kind] = Kind(group: "extensions.istio.io", message: kind, versions: ["v1alpha1"])
        }
        table["IstioOperator"] = Kind(group: "install.istio.io", message: "IstioOperator", versions: ["v1alpha1"])
        return table
    }()

    init(_ notation: String) {
        var current: Message?
        func flush() { if let current { messages[current.name] = current } }
        for line in notation.split(separator: "\n") {
            let parts = line.split(separator: " -- ", maxSplits: 1)
            let words = (parts.first ?? "").split(separator: " ").map(String.init)
            guard let first = words.first else { continue }
            if !line.hasPrefix(" ") {
                if first == "enum", words.count > 2 {
                    enums[words[1]] = Array(words.dropFirst(2))
                } else if words.count == 1 {
                    flush()
                    current = Message(name: first)
                } else {
                    malformed.append(String(line))
                }
            } else if first == "oneof" {
                current?.oneOfs.append(Array(words.dropFirst()))
            } else if words.count == 2 {
                current?.fields.append(
                    Field(
                        name: first, type: .any, typeText: words[1], documentation: parts.count > 1 ? String(parts[1]) : ""))
            } else {
                malformed.append(String(line))
            }
        }
        flush()
        resolveTypes()
    }

    private mutating func resolveTypes() {
        for name in messages.keys.sorted() {
            guard var message = messages[name] else { continue }
            for index in message.fields.indices {
                guard let type = type(message.fields[index].typeText) else {
                    malformed.append("\(name).\(message.fields[index].name) \(message.fields[index].typeText)")
                    continue
                }
                message.fields[index].type = type
            }
            messages[name] = message
        }
    }

    private func type(_ text: String) -> FieldType? {
        if text.hasPrefix("["), text.hasSuffix("]") { return type(String(text.dropFirst().dropLast())).map { .list($0) } }
        if text.hasPrefix("{#"), text.hasSuffix("}") { return type(String(text.dropFirst(2).dropLast())).map { .portMap($0) } }
        if text.hasPrefix("{"), text.hasSuffix("}") { return type(String(text.dropFirst().dropLast())).map { .map($0) } }
        switch text {
        case "string": return .string
        case "bool": return .bool
        case "int32": return .int32
        case "uint32": return .uint32
        case "int64": return .int64
        case "uint64": return .uint64
        case "double": return .double
        case "duration": return .duration
        case "port": return .port
        case "any": return .any
        default:
            if enums[text] != nil { return .enumeration(text) }
            return messages[text] == nil ? nil : .message(text)
        }
    }
}

import Glibc
import Testing

@testable import MeshConfig

/// docs/configuration-resources.md is written from the tables that the program itself uses, so that it cannot be wrong
/// about what is in effect. After changing a table: SKEIN_REWRITE_GOLDEN=1 swift test --filter DocumentationTests.
@Suite struct DocumentationTests {
    @Test func theTablesAreWellFormed() {
        #expect(Schema.istio.malformed == [])
        for (kind, description) in Schema.kinds { #expect(Schema.istio.messages[description.message] != nil, "\(kind)") }
        for message in Schema.istio.messages.values {
            #expect(Set(message.fields.map(\.name)).count == message.fields.count, "\(message.name)")
            for name in message.oneOfs.joined() { #expect(message.field(named: name) != nil, "\(message.name).\(name)") }
        }
        for name in Deprecations.fields.keys {
            let parts = name.split(separator: ".").map(String.init)
            #expect(Schema.istio.messages[parts[0]]?.field(named: parts[1]) != nil, "\(name)")
        }
    }

    /// A row that names no field would silently claim that the field works.
    @Test func everyRowOfTheEffectTableNamesAField() {
        for (kind, rows) in EffectTable.notYetInEffect {
            let known = Set(fields(of: kind).map(\.pattern) + ["spec"])
            for row in rows where !known.contains(row) {
                // Port-level settings have fewer groups than the others.
                #expect(row.contains("portLevelSettings"), "\(kind) \(row)")
            }
        }
    }

    @Test func theChapterIsUpToDate() {
        let path = TestFiles.root + "/docs/configuration-resources.md"
        let chapter = chapter()
        if unsafe getenv("SKEIN_REWRITE_GOLDEN") != nil {
            unsafe mkdir(TestFiles.root + "/docs", 0o755)
            TestFiles.write(chapter, to: path)
        }
        #expect(TestFiles.read(path) == chapter)
    }

    private struct Row {
        var path: String
        var pattern: String
        var type: String
        var documentation: String
    }

    private func fields(of kind: String) -> [Row] {
        var rows: [Row] = []
        collect(Schema.kinds[kind]?.message ?? "", path: "spec", pattern: "spec", depth: 0, into: &rows)
        return rows
    }

    private func collect(_ message: String, path: String, pattern: String, depth: Int, into rows: inout [Row]) {
        guard depth < 12, let message = Schema.istio.messages[message] else { return }
        for field in message.fields {
            var suffix = ""
            var type = field.type
            while true {
                if case .list(let element) = type { (suffix, type) = (suffix + "[]", element) }
                else if case .map(let element) = type { (suffix, type) = (suffix + "{}", element) }
                else if case .portMap(let element) = type { (suffix, type) = (suffix + "{}", element) }
                else { break }
            }
            let full = "\(path).\(field.name)\(suffix)"
            rows.append(
                Row(
                    path: full, pattern: "\(pattern).\(field.name)", type: describe(type),
                    documentation: documentation(field, message, type)))
            if case .message(let inner) = type, inner != "StringMatch" {
                collect(inner, path: full, pattern: "\(pattern).\(field.name)", depth: depth + 1, into: &rows)
            }
        }
    }

    private func documentation(_ field: Schema.Field, _ message: Schema.Message, _ type: Schema.FieldType) -> String {
        var text = field.documentation
        if case .enumeration(let name) = type {
            text += (text.isEmpty ? "" : "; ") + (Schema.istio.enums[name] ?? []).joined(separator: ", ")
        }
        if Deprecations.fields["\(message.name).\(field.name)"] != nil, !text.hasPrefix("deprecated") {
            text = "deprecated" + (text.isEmpty ? "" : "; \(text)")
        }
        return text.replacing("|", with: "\\|")
    }

    private func describe(_ type: Schema.FieldType) -> String {
        switch type {
        case .message("StringMatch"): "string match"
        case .message, .list, .map, .portMap: ""
        case .enumeration: "name"
        case .string: "string"
        case .bool: "true/false"
        case .int32, .uint32, .int64, .uint64: "integer"
        case .double: "number"
        case .duration: "duration"
        case .port: "port"
        case .any: "any"
        }
    }

    private func chapter() -> String {
        var text = """
            # Configuration: Istio resources, and those of our own

            <!-- Written by Tests/MeshConfigTests/DocumentationTests.swift from Sources/MeshConfig; change it there. -->

            `skein run -c` and `skein validate` read files and directories. In a directory, `*.yaml` and `*.yml` are read in the order of
            their names; names that begin with a dot are skipped, subdirectories are read with -R only (a notice says so: name them as
            well). A file may hold many documents and `kind: List`. `apiVersion` may be any of the versions below; all versions of a
            kind are one schema. Kubernetes' own kinds, those of its Gateway API included, are skipped with one notice a file, SKN0006.

            At the end are Skein's own: `RateLimit` and `UpstreamPolicy` (`docs/traffic.md`), `MeshOutlierDetection` (`docs/outliers.md`).

            Every field of Istio's API is known. **In effect**: yes = acted upon; accepted = parsed and validated, with the notice
            SKN0201 "accepted, not yet in effect". An unknown field is an error. Field names are Istio's; the protobuf form
            (`ignore_uri_case`) is accepted too. `null` is the same as absent.

            - **duration**: `300ms`, `1.5s`, `1h2m`; units h, m, s, ms, us, ns; a unit is required.
            - **string match**: one of `exact`, `prefix`, `regex` (RE2, the whole value). `{}` = present, for headers and parameters.
            - **string**: numbers and booleans must be quoted (`"8080"`, `"true"`; in YAML 1.1 `yes`, `no`, `on`, `off` are booleans).
            - `[]` marks a list, `{}` a mapping with names of your choice.
            - An absent `metadata.namespace` is `default`. Short host names in rules mean the rule's namespace: `reviews` in `production` is
              `reviews.production.svc.cluster.local`. Hosts of a ServiceEntry are used as written.

            What Istio's validation refuses is an error here, at the field; what it warns of is a warning (Tests/Fixtures/IstioRules, \
            a line for each
            rule). On purpose it is otherwise here:

            | | here | why |
            |---|---|---|
            | hosts with `_` | accepted | Envoy and the names of container networks have them |
            | hosts without a dot in Gateway and Sidecar | accepted | `localhost`, and a ServiceEntry's host of one label |
            | names of matched headers | any of RFC 9110 section 5.1, and `:authority` `:method` `:path` `:scheme` \
            | Istio takes letters, digits, `-` and `_`; `:path` has the query |
            | `headers: {x: }` | presence | as `{}` |
            | `0s` for `timeout`, `perTryTimeout`, `idleTimeout`, `maxAge` | none; a `maxAge` of 0 | Istio's API has no other way \
            to say so, and its validation refuses it |
            | `retryOn: "5xx, reset"` | blanks and empty conditions are passed over | istiod passes over them, too, once it has validated |
            | `fault` beside `directResponse` | honoured, with a warning | a fault comes before everything else |
            | an authority set by `rewrite` and by `headers` | `rewrite.authority` wins, with a warning | so that it is settled |
            | `exponentialDelay` | read as `fixedDelay`, with a warning | what was meant |
            | status 600; redirect codes other than 301, 302, 303, 307, 308 | errors | Envoy knows none of them |
            | expressions of `accessLogging.filter`, values and `proxyVersion` of an EnvoyFilter | not read | nothing acts on them |

            ## Bounds

            | bound | value |
            |---|---|

            """
        let limits = ConfigLimits.standard
        for (name, value) in [
            ("bytes of one file", limits.fileBytes), ("files of one load", limits.files), ("bytes of one load", limits.totalBytes),
            ("documents of one file", limits.documentsPerFile), ("nesting depth, aliases expanded", limits.nestingDepth),
            ("aliases of one document", limits.aliasesPerDocument), ("values of one document, aliases expanded", limits.nodesPerDocument),
            ("bytes of text of one document, aliases expanded", limits.textBytesPerDocument),
            ("values of one file, aliases expanded", limits.nodesPerFile), ("bytes of one value", limits.scalarBytes),
            ("diagnostics shown", limits.diagnostics),
        ] { text += "| \(name) | \(value) |\n" }
        text += "\n"
        let order = [
            "ServiceEntry", "WorkloadEntry", "Sidecar", "VirtualService", "DestinationRule", "Telemetry", "IstioOperator", "Gateway",
            "PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication", "EnvoyFilter", "WorkloadGroup", "ProxyConfig",
            "WasmPlugin", "TrafficExtension", "RateLimit", "UpstreamPolicy", "MeshOutlierDetection",
        ]
        for kind in order {
            guard let description = Schema.kinds[kind] else { continue }
            let whole = !EffectTable.isInEffect(kind: kind, field: "spec")
            text += "## \(kind)\n\n`\(description.group)/` \(description.versions.map { "`\($0)`" }.joined(separator: ", "))"
            text += whole ? ". Accepted, not yet in effect.\n\n" : "\n\n"
            text += "| field | type | in effect | meaning; default; unit |\n|---|---|---|---|\n"
            for row in fields(of: kind) {
                let covered = whole || isCovered(kind, row.pattern)
                text += "| `\(row.path)` | \(row.type) | \(covered ? "accepted" : "yes") | \(row.documentation) |\n"
            }
            text += "\n"
        }
        return text
    }

    private func isCovered(_ kind: String, _ pattern: String) -> Bool {
        var path = ""
        for part in pattern.split(separator: ".") {
            path += path.isEmpty ? String(part) : ".\(part)"
            if !EffectTable.isInEffect(kind: kind, field: path) { return true }
        }
        return false
    }
}

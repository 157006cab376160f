/// A limit on requests (`skein.io` RateLimit), or what an EnvoyFilter asks of Envoy's local rate limit filter.
public struct RateLimit: Sendable {
    public enum Side: Sendable {
        case inbound, outbound
    }

    public enum Key: Sendable {
        /// In lower case.
        case header(String)
        case queryParameter(String)
        /// A claim of the token that was verified, by the names that lead to it.
        case claim([String])
        case clientIP
    }

    /// One token bucket, or one for each value of the keys.
    public struct Limit: Sendable {
        public var position: SourcePosition
        /// Nil = every request.
        public var match: HTTPMatchRequest?
        /// Tokens of a full bucket.
        public var burst: UInt32
        public var requests: UInt32
        public var perNanoseconds: UInt64
        public var keys: [Key]
        /// Percent of the requests that are counted, and of those that are refused when the bucket is empty.
        public var enabledPercent: Double = 100
        public var enforcedPercent: Double = 100
        /// Fields of a refusal, besides those that every one has.
        public var responseHeaders: [(name: String, value: String)] = []
        /// Only what comes to this port of the workload; nil = all.
        public var port: UInt16?
    }

    public var id: ResourceID
    public var position: SourcePosition
    public var side: Side
    /// Labels of the workloads; empty = all.
    public var selector: [String: String]
    /// As written; empty = all.
    public var hosts: [String]
    public var limits: [Limit]
}

extension RateLimit {
    init(id: ResourceID, position: SourcePosition, spec: NodeReader) {
        self.init(
            id: id, position: position, side: spec.name("side") == "OUTBOUND" ? .outbound : .inbound,
            selector: spec.child("selector")?.stringMap("matchLabels") ?? [:], hosts: spec.strings("hosts"),
            limits: spec.children("limits").map(Limit.init(reader:)))
    }

    /// The limits of an EnvoyFilter, by the documented form: a patch whose value holds `token_bucket` for
    /// `envoy.filters.http.local_ratelimit`, as the filter's own configuration or as one of a route.
    static func limits(ofEnvoyFilter spec: NodeReader, id: ResourceID, position: SourcePosition) -> [RateLimit] {
        spec.children("configPatches").compactMap { patch in
            guard let value = patch.child("patch")?.child("value"), let bucket = bucket(in: value) else { return nil }
            let context = patch.child("match")?.string("context") ?? ""
            let tokens = bucket.uint32("maxTokens") ?? 0
            let fill = bucket.nanoseconds("fillInterval") ?? 0
            var limit = Limit(
                position: bucket.position, match: nil, burst: tokens, requests: bucket.uint32("tokensPerFill") ?? 1,
                perNanoseconds: fill > 0 ? UInt64(fill) : 0, keys: [])
            if let filter = filter(in: value) {
                // Envoy counts and refuses nothing unless it is told to.
                limit.enabledPercent = percent(filter.child("filterEnabled"))
                limit.enforcedPercent = percent(filter.child("filterEnforced"))
                limit.responseHeaders = filter.children("responseHeadersToAdd").compactMap { entry in
                    entry.child("header").flatMap { header in header.string("key").map { ($0, header.string("value") ?? "") } }
                }
            }
            let host = patch.child("match")?.child("routeConfiguration")?.child("vhost")?.string("name") ?? ""
            let parts = host.split(separator: "|", omittingEmptySubsequences: false)
            if parts.count > 2, parts[0] == "inbound" { limit.port = UInt16(parts[2]) }
            return RateLimit(
                id: id, position: position, side: context == "SIDECAR_OUTBOUND" ? .outbound : .inbound,
                selector: spec.child("workloadSelector")?.stringMap("labels") ?? [:], hosts: [], limits: [limit])
        }
    }

    /// What stands in an EnvoyFilter beside the limits read from it: fields of the filter and of the patch that nothing acts on, and
    /// patches that are no limit. Nil for one that has no part in a limit at all. The filter's own insertion may come without a bucket.
    /// `x-ratelimit-*` are sent whether they are asked for or not.
    static func unread(ofEnvoyFilter spec: NodeReader) -> [(field: String, position: SourcePosition)]? {
        let patches = spec.children("configPatches").map { patch in (patch: patch, value: patch.child("patch")?.child("value")) }
        guard patches.contains(where: { $0.value.map(isPart) ?? false }) else { return nil }
        return patches.flatMap { patch, value -> [(field: String, position: SourcePosition)] in
            guard let value, isPart(value) else { return [(patch.path, patch.position)] }
            var found = leftovers(of: value, beside: ["name", "typedConfig", "typedPerFilterConfig"])
            if let filter = filter(in: value), filter.has("tokenBucket") {
                found += leftovers(
                    of: filter,
                    beside: [
                        "@type", "typeUrl", "statPrefix", "tokenBucket", "filterEnabled", "filterEnforced", "responseHeadersToAdd",
                        "enableXRatelimitHeaders",
                    ]
                        .map(FieldName.canonical))
            }
            return found
        }
    }

    private static func isPart(_ value: NodeReader) -> Bool {
        bucket(in: value) != nil || value.string("name") == "envoy.filters.http.local_ratelimit"
    }

    private static func leftovers(of reader: NodeReader, beside read: [String]) -> [(field: String, position: SourcePosition)] {
        reader.written.filter { !read.contains($0.name) }.map {
            ("\(reader.path).\($0.name.prefix(64))", SourcePosition(file: reader.file, line: $0.node.line, column: $0.node.column))
        }
    }

    private static func bucket(in value: NodeReader) -> NodeReader? { filter(in: value)?.child("tokenBucket") }

    /// The filter's configuration, whether typed or in a TypedStruct's `value`.
    private static func filter(in value: NodeReader) -> NodeReader? {
        let name = "envoy.filters.http.local_ratelimit"
        let configured: NodeReader?
        if value.string("name") == name {
            configured = value.child("typedConfig")
        } else {
            configured = value.entries("typedPerFilterConfig").first { $0.key == name }?.reader
        }
        return configured?.child("value") ?? configured
    }

    /// Envoy's RuntimeFractionalPercent by its default; absent = 0.
    private static func percent(_ fraction: NodeReader?) -> Double {
        guard let value = fraction?.child("defaultValue") else { return 0 }
        let numerator = Double(value.uint32("numerator") ?? 0)
        switch value.name("denominator") {
        case "TEN_THOUSAND": return min(100, numerator / 100)
        case "MILLION": return min(100, numerator / 10_000)
        default: return min(100, numerator)
        }
    }

    /// What an EnvoyFilter's limits do less than it seems; empty = all that is written acts.
    var silences: [String] {
        limits.flatMap { limit -> [String] in
            var found: [String] = []
            if limit.enabledPercent == 0 { found.append("filter_enabled is not above 0 %, so nothing is counted (Envoy's default)") }
            else if limit.enforcedPercent == 0 { found.append("filter_enforced is not above 0 %, so nothing is refused (Envoy's default)") }
            return found
        }
    }
}

extension RateLimit.Limit {
    init(reader: NodeReader) {
        let requests = reader.uint32("requests") ?? 0
        let per = reader.nanoseconds("per") ?? 1_000_000_000
        self.init(
            position: reader.position, match: reader.child("match").map(HTTPMatchRequest.init(reader:)),
            burst: reader.uint32("burst") ?? requests,
            requests: requests, perNanoseconds: per > 0 ? UInt64(per) : 0,
            keys: reader.children("by").compactMap { key in
                if let name = key.string("header") { return .header(name.lowercased()) }
                if let name = key.string("queryParameter") { return .queryParameter(name) }
                if let name = key.string("claim") { return .claim(name.split(separator: ".").map(String.init)) }
                return key.bool("clientIP") == true ? .clientIP : nil
            })
    }
}

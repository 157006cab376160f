internal import HTTPService
internal import Primitives
public import TelemetryModel

/// Bounds of the Zipkin query API.
public enum ZipkinLimits {
    /// Traces of one answer: a greater `limit` is read as this. Zipkin has no bound here, so refusing would break its clients.
    public static let tracesMax = 10_000
    /// Terms of one annotationQuery; Zipkin's own bound is 100 parts.
    public static let termsMax = 24
    /// Ids of one traceMany.
    public static let traceIDsMax = 1000
    /// Bytes of one JSON answer; a query that finds more is refused with advice to ask for less.
    public static let answerBytesMax = 256 << 20
    /// Unicode scalars of foreign text repeated in an error. (A Character has no greatest length.)
    public static let quotedMax = 64
}

/// Why a query is refused; the text is the body of the 400. Worded as Zipkin does where Zipkin has words.
public struct ParameterError: Error, Sendable, Equatable {
    public var text: String
}

extension TraceQuery {
    /// The query of `/api/v2/traces`, from what stands behind the question mark. Cost is linear in the text; never traps.
    public static func parse(
        _ queryString: String, nowMilliseconds: UInt64, lookbackDefault: UInt64 = 86_400_000
    ) throws(ParameterError) -> TraceQuery {
        try ZipkinParameters(
            values: QueryString.parse(queryString)).traceQuery(nowMilliseconds: nowMilliseconds, lookbackDefault: lookbackDefault)
    }
}

/// Zipkin's query parameters from text (semantics 2.11). Pure.
struct ZipkinParameters {
    let values: [(name: String, value: String)]

    /// The first parameter of that name; an empty one counts as absent.
    func text(_ name: String) -> String? {
        guard let value = values.first(where: { $0.name == name })?.value, !value.isEmpty else { return nil }
        return value
    }

    func required(_ name: String) throws(ParameterError) -> String {
        // An empty value is a value here: Zipkin answers an empty list for an empty service name.
        guard let value = values.first(where: { $0.name == name })?.value else {
            throw ParameterError(text: "parameter \(name) is required")
        }
        return value
    }

    /// A whole number of 64 bits greater than zero.
    func positive(_ name: String) throws(ParameterError) -> UInt64? {
        guard let text = text(name) else { return nil }
        guard let number = Int64(text) else {
            throw ParameterError(text: "\(name) should be a whole number of at most 19 digits, not \(Self.quoted(text))")
        }
        guard number > 0 else { throw ParameterError(text: "\(name) <= 0") }
        return UInt64(number)
    }

    func traceQuery(nowMilliseconds: UInt64, lookbackDefault: UInt64) throws(ParameterError) -> TraceQuery {
        var query = TraceQuery(endTimestamp: try positive("endTs") ?? nowMilliseconds)
        query.limit = Int(min(try positive("limit") ?? 10, UInt64(ZipkinLimits.tracesMax)))
        query.lookback = try positive("lookback") ?? lookbackDefault
        query.durationMin = try positive("minDuration")
        query.durationMax = try positive("maxDuration")
        if let greatest = query.durationMax {
            guard let least = query.durationMin else { throw ParameterError(text: "maxDuration is only valid with minDuration") }
            guard greatest >= least else { throw ParameterError(text: "maxDuration < minDuration") }
        }
        query.serviceName = text("serviceName")?.lowercased() ?? ""
        query.remoteServiceName = text("remoteServiceName")?.lowercased() ?? ""
        let name = text("spanName")?.lowercased() ?? ""
        query.spanName = name == "all" ? "" : name
        query.terms = try Self.terms(text("annotationQuery") ?? "")
        return query
    }

    /// Splits on " and ": `k=v` is a tag (the last of a key wins), `k` or `k=` a bare word, which does not displace a tag of its name.
    static func terms(_ annotationQuery: String) throws(ParameterError) -> [TraceQuery.Term] {
        guard !annotationQuery.isEmpty else { return [] }
        var order: [String] = []
        var values: [String: String] = [:]
        for part in split(Array(annotationQuery.utf8), by: Array(" and ".utf8)) {
            let equals = part.firstIndex(of: UInt8(ascii: "="))
            let key = trimmed(part[..<(equals ?? part.endIndex)])
            guard !key.isEmpty else { continue }
            let value = equals.map { trimmed(part[($0 + 1)...]) }
            if values[key] == nil { order.append(key) } else if value == nil { continue }
            values[key] = value ?? ""
            if order.count > ZipkinLimits.termsMax {
                throw ParameterError(text: "annotationQuery should have at most \(ZipkinLimits.termsMax) terms")
            }
        }
        return order.map { key in
            let value = values[key] ?? ""
            return value.isEmpty ? .annotationOrKey(key) : .tag(key: key, value: value)
        }
    }

    private static func split(_ bytes: [UInt8], by separator: [UInt8]) -> [ArraySlice<UInt8>] {
        var parts: [ArraySlice<UInt8>] = []
        var start = 0
        var at = 0
        while at < bytes.count {
            if bytes[at] == separator[0], bytes.count - at >= separator.count, bytes[at..<at + separator.count].elementsEqual(separator) {
                parts.append(bytes[start..<at])
                at += separator.count
                start = at
            } else {
                at += 1
            }
        }
        parts.append(bytes[start...])
        return parts
    }

    /// As Java's `trim`: everything up to and including the space goes.
    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> String {
        var rest = bytes
        while let first = rest.first, first <= 0x20 { rest.removeFirst() }
        while let last = rest.last, last <= 0x20 { rest.removeLast() }
        return String(decoding: rest, as: UTF8.self)
    }

    /// A trace id as clients write it, normalised: 1 to 32 lower-case hex digits, not all zero.
    static func traceID(_ text: String) throws(ParameterError) -> TraceID {
        let digits = Array(text.utf8)
        if digits.isEmpty { throw ParameterError(text: "traceId is empty") }
        if digits.count > 32 { throw ParameterError(text: "traceId.length > 32") }
        var id = TraceID.none
        for digit in digits {
            let value = ASCII.hexValue(digit)
            guard value < 16, !(UInt8(ascii: "A")...UInt8(ascii: "F")).contains(digit) else {
                throw ParameterError(text: "\(text) should be lower-hex encoded with no prefix")
            }
            id.high = id.high << 4 | id.low >> 60
            id.low = id.low << 4 | UInt64(value)
        }
        if id.isNone { throw ParameterError(text: "traceId is all zeros") }
        return id
    }

    static func traceIDs(_ text: String) throws(ParameterError) -> [TraceID] {
        if text.isEmpty { throw ParameterError(text: "traceIds parameter is empty") }
        let parts = text.split(separator: ",", maxSplits: ZipkinLimits.traceIDsMax, omittingEmptySubsequences: false)
        guard parts.count <= ZipkinLimits.traceIDsMax else {
            throw ParameterError(text: "traceIds should have at most \(ZipkinLimits.traceIDsMax) ids")
        }
        var ids: [TraceID] = []
        var known = Set<TraceID>()
        for part in parts {
            let id = try traceID(String(part))
            guard known.insert(id).inserted else { throw ParameterError(text: "redundant traceId: \(part)") }
            ids.append(id)
        }
        if ids.count == 1 { throw ParameterError(text: "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace") }
        return ids
    }

    /// Foreign text in an error.
    static func quoted(_ text: String) -> String { "\"" + String(text.unicodeScalars.prefix(ZipkinLimits.quotedMax)) + "\"" }
}

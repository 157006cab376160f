public import TelemetryModel
internal import TelemetryWire

/// Which records `skein logs` shows: every part that is set must match. Text compares byte by byte; nothing is a pattern.
public struct LogFilter: Sendable, Equatable {
    /// 404...404, 500...599; 0 is "no response was begun".
    public var statusCodes: ClosedRange<UInt16>?
    /// At least one of these flags.
    public var flags: ResponseFlags = []
    /// Upper-case, whole.
    public var method: String?
    /// Of the path as the client sent it.
    public var pathPrefix: String?
    /// The route's whole name.
    public var route: String?
    /// Part of the cluster's name: `reviews` finds `outbound|9080|v1|reviews.default.svc.cluster.local`.
    public var cluster: String?
    /// The authority, whole or without its port; case does not matter.
    public var host: String?
    public var durationNanosecondsMin: UInt64?
    public var requestID: String?
    public var traceID: TraceID?
    public var side: ProxySide?

    public init() {}

    /// Names that `init(parameters:)` knows, with what they take.
    public static let parameterNames = [
        "status", "flag", "method", "path", "route", "cluster", "host", "min-duration", "request-id", "trace-id", "side",
    ]

    /// Reads the parameters of a query; names that are not a filter's are left to the caller.
    public init(parameters: [(name: String, value: String)]) throws(LogFilterError) {
        for (name, value) in parameters {
            func fail(_ accepted: String) -> LogFilterError { LogFilterError(parameter: name, value: value, accepted: accepted) }
            switch name {
            case "status":
                guard let codes = Self.codes(value) else { throw fail("a code (503), a class (5xx) or a range (400-499)") }
                statusCodes = codes
            case "flag":
                guard let known = ResponseFlags.names.first(where: { $0.short == value.uppercased() || $0.long == value }) else {
                    throw fail(ResponseFlags.names.map(\.short).joined(separator: " "))
                }
                flags.insert(known.flag)
            case "method": method = value.uppercased()
            case "path": pathPrefix = value
            case "route": route = value
            case "cluster": cluster = value
            case "host": host = value.lowercased()
            case "min-duration":
                guard let duration = Self.duration(value) else { throw fail("a number with ns, us, ms or s, such as 250ms") }
                durationNanosecondsMin = duration
            case "request-id": requestID = value
            case "trace-id":
                guard let identifier = Self.traceID(value) else { throw fail("1 to 32 hexadecimal digits") }
                traceID = identifier
            case "side":
                switch value {
                case "outbound": side = .outbound
                case "inbound": side = .inbound
                default: throw fail("outbound or inbound")
                }
            default: break
            }
        }
    }

    private static func codes(_ text: String) -> ClosedRange<UInt16>? {
        let bytes = Array(text.utf8)
        if bytes.count == 3, bytes[0] &- 0x31 < 9, bytes[1] | 0x20 == UInt8(ascii: "x"), bytes[2] | 0x20 == UInt8(ascii: "x") {
            let first = UInt16(bytes[0] - 0x30) * 100
            return first...first + 99
        }
        let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { UInt16($0) }
        guard let low = parts[0], low <= 999 else { return nil }
        guard parts.count == 2 else { return low...low }
        guard let high = parts[1], high <= 999, low <= high else { return nil }
        return low...high
    }

    private static func duration(_ text: String) -> UInt64? {
        for (unit, factor) in [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)] where text.hasSuffix(unit) {
            guard let number = Double(text.dropLast(unit.count)), number >= 0, number.isFinite else { continue }
            return UInt64(exactly: (number * factor).rounded()) ?? .max
        }
        return nil
    }

    private static func traceID(_ text: String) -> TraceID? {
        guard (1...32).contains(text.utf8.count), text.utf8.allSatisfy({ Self.isHex($0) }) else { return nil }
        let low = text.suffix(16)
        guard let lowBits = UInt64(low, radix: 16), let highBits = low.count < text.count ? UInt64(text.dropLast(16), radix: 16) : 0 else {
            return nil
        }
        return TraceID(high: highBits, low: lowBits)
    }

    private static func isHex(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 6 }
}

/// A filter's parameter that cannot be read.
public struct LogFilterError: Error, Equatable, CustomStringConvertible {
    public let parameter: String
    public let value: String
    public let accepted: String

    public var description: String { "\(parameter)=\(value): accepted is \(accepted)" }
}

/// A filter with its text as bytes.
struct LogMatcher: Sendable {
    private let filter: LogFilter
    private let method: [UInt8]?
    private let pathPrefix: [UInt8]?
    private let route: [UInt8]?
    private let cluster: [UInt8]?
    private let host: [UInt8]?
    private let requestID: [UInt8]?

    init(_ filter: LogFilter) {
        self.filter = filter
        method = filter.method.map { Array($0.utf8) }
        pathPrefix = filter.pathPrefix.map { Array($0.utf8) }
        route = filter.route.map { Array($0.utf8) }
        cluster = filter.cluster.map { Array($0.utf8) }
        host = filter.host.map { Array($0.lowercased().utf8) }
        requestID = filter.requestID.map { Array($0.utf8) }
    }

    func matches(_ view: borrowing RequestRecordView, names: borrowing NameTable) -> Bool {
        let record = view.record
        if let codes = filter.statusCodes, !codes.contains(record.responseCode) { return false }
        if !filter.flags.isEmpty, record.flags.isDisjoint(with: filter.flags) { return false }
        if let side = filter.side, side != record.side { return false }
        if let traceID = filter.traceID, traceID != record.traceID { return false }
        if let least = filter.durationNanosecondsMin {
            guard record.times.downstreamSendEnd != RequestTimes.absent, record.times.downstreamSendEnd >= least else { return false }
        }
        if let route, names[record.route] != route { return false }
        if let cluster, !Self.containsText(names[record.cluster], cluster) { return false }
        if let method, !Self.equal(view.text(.method), method) { return false }
        if let requestID, !Self.equal(view.text(.requestID), requestID) { return false }
        if let pathPrefix {
            if let original = view.text(.originalPath) {
                guard Self.beginsWith(original, pathPrefix) else { return false }
            } else {
                guard let path = view.text(.path), Self.beginsWith(path, pathPrefix) else { return false }
            }
        }
        if let host {
            guard let authority = view.text(.authority), Self.isHost(authority, host) else { return false }
        }
        return true
    }

    private static func equal(_ text: RawSpan?, _ wanted: [UInt8]) -> Bool {
        guard let text else { return false }
        return text.byteCount == wanted.count && beginsWith(text, wanted)
    }

    private static func beginsWith(_ text: RawSpan, _ wanted: [UInt8]) -> Bool {
        guard text.byteCount >= wanted.count else { return false }
        for index in wanted.indices where unsafe text.unsafeLoad(fromByteOffset: index, as: UInt8.self) != wanted[index] { return false }
        return true
    }

    private static func containsText(_ text: [UInt8], _ wanted: [UInt8]) -> Bool {
        guard !wanted.isEmpty else { return true }
        guard text.count >= wanted.count else { return false }
        for start in 0...text.count - wanted.count where text[start..<start + wanted.count].elementsEqual(wanted) { return true }
        return false
    }

    private static func isHost(_ authority: RawSpan, _ host: [UInt8]) -> Bool {
        guard authority.byteCount >= host.count else { return false }
        for index in host.indices {
            let byte = unsafe authority.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            guard (byte &- 0x41 < 26 ? byte | 0x20 : byte) == host[index] else { return false }
        }
        // Only a port may follow.
        guard authority.byteCount > host.count else { return true }
        return unsafe authority.unsafeLoad(fromByteOffset: host.count, as: UInt8.self) == UInt8(ascii: ":")
    }
}

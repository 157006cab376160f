internal import HTTP
internal import Primitives
internal import Routing

/// What a request of this workload asks of its own time limits and retries in place of its route's (Envoy's router filter, "HTTP headers
/// (consumed)"). Followed on the outbound side only: on the others a stranger could multiply his requests by it.
struct RequestOverrides: BitwiseCopyable {
    /// Milliseconds; nil = not asked for, 0 = no limit.
    var timeoutMilliseconds: UInt64?
    var perTryMilliseconds: UInt64?
    var attempts: UInt32?
    var conditions: RetryConditions = []
    /// Of `x-envoy-retriable-status-codes`; 0 = unused.
    var statusCodes = InlineArray<4, UInt16>(repeating: 0)

    /// More than this many tries of one request help nobody.
    static let attemptsMax: UInt32 = 255
    /// A limit above this is none (a year).
    static let millisecondsMax: UInt64 = 365 * 86_400_000

    /// Whether the field is one of these and was taken; it then goes no further. A value that is no number leaves what the route says.
    mutating func take(_ name: LentBytes, _ value: LentBytes) -> Bool {
        let rest = name.from(8)
        if rest.equals(ignoringCase: "upstream-rq-timeout-ms") {
            timeoutMilliseconds = Self.milliseconds(value) ?? timeoutMilliseconds
        } else if rest.equals(ignoringCase: "upstream-rq-per-try-timeout-ms") {
            perTryMilliseconds = Self.milliseconds(value) ?? perTryMilliseconds
        } else if rest.equals(ignoringCase: "max-retries") {
            if let number = value.decimal { attempts = UInt32(min(number, UInt64(Self.attemptsMax))) }
        } else if rest.equals(ignoringCase: "retry-on") || rest.equals(ignoringCase: "retry-grpc-on") {
            unsafe conditions.formUnion(.parse(value.buffer))
        } else if rest.equals(ignoringCase: "retriable-status-codes") {
            takeCodes(value)
        } else if rest.equals(ignoringCase: "expected-rq-timeout-ms") {
            // Ours to say.
        } else {
            return false
        }
        return true
    }

    /// Whether a field that begins with `x-envoy-` is one of these.
    static func isOne(_ name: LentBytes) -> Bool {
        var none = RequestOverrides()
        return none.take(name, LentBytes())
    }

    private static func milliseconds(_ value: LentBytes) -> UInt64? {
        guard let number = value.decimal else { return nil }
        return number > millisecondsMax ? 0 : number
    }

    private mutating func takeCodes(_ list: LentBytes) {
        var place = 0
        var itemStart = 0
        for index in 0...list.count where index == list.count || list[index] == UInt8(ascii: ",") {
            let code = list[itemStart..<index].trimmed.decimal
            itemStart = index + 1
            guard place < statusCodes.count, let code, (100...599).contains(code) else { continue }
            statusCodes[place] = UInt16(code)
            place += 1
        }
    }

    /// The route's policy as the request wants it. Conditions are added to the route's; asking for a number of tries alone does not make
    /// conditions.
    func apply(to policy: inout RetryPolicy) {
        if !conditions.isEmpty {
            // A route without retries has no conditions of its own to add to.
            policy.conditions = policy.attempts == 0 ? conditions : policy.conditions.union(conditions)
            policy.isAskedFor = true
            if policy.attempts == 0 { policy.attempts = 1 }
        }
        if let attempts { policy.attempts = attempts }
    }

    func isListed(_ status: UInt16) -> Bool {
        for place in 0..<statusCodes.count where statusCodes[place] == status && status != 0 { return true }
        return false
    }
}

/// How often somebody may ask for a certificate: token buckets by name. Pure; time comes in, seconds.
struct IssueRates {
    struct Limit: Sendable {
        /// Requests at once.
        var burst: Double
        var perSecond: Double
    }

    /// Names that are remembered. When there are more, the one that may ask most is forgotten.
    static let namesMax = 4096

    private struct Bucket {
        var tokens: Double
        var at: Double
    }

    private let limit: Limit
    private var buckets: [String: Bucket] = [:]

    init(_ limit: Limit) { self.limit = limit }

    var count: Int { buckets.count }

    /// Whether `name` may ask now, and counts that it has.
    mutating func take(_ name: String, now: Double) -> Bool {
        if buckets[name] == nil, buckets.count >= Self.namesMax {
            let fullest = buckets.max { level($0.value, now) < level($1.value, now) }
            if let fullest { buckets[fullest.key] = nil }
        }
        var bucket = buckets[name] ?? Bucket(tokens: limit.burst, at: now)
        bucket.tokens = level(bucket, now)
        bucket.at = max(now, bucket.at)
        let mayAsk = bucket.tokens >= 1
        if mayAsk { bucket.tokens -= 1 }
        buckets[name] = bucket
        return mayAsk
    }

    private func level(_ bucket: Bucket, _ now: Double) -> Double {
        min(limit.burst, bucket.tokens + max(0, now - bucket.at) * limit.perSecond)
    }
}

internal import Glibc

/// Times in seconds since 1970, as people read them.
public enum UnixTime {
    public static let day: Int64 = 86_400

    /// RFC 3339: `2026-11-30T10:00:00Z`.
    public static func text(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = unsafe tm()
        guard unsafe gmtime_r(&time, &parts) != nil else { return "\(seconds)" }
        var text = [CChar](repeating: 0, count: 32)
        let count = unsafe strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The two largest units: `23h59m`, `364d23h`, `40s`.
    public static func span(_ seconds: Int64) -> String {
        switch max(seconds, 0) {
        case let seconds where seconds < 60: "\(seconds)s"
        case let seconds where seconds < 3600: "\(seconds / 60)m\(seconds % 60)s"
        case let seconds where seconds < day: "\(seconds / 3600)h\(seconds % 3600 / 60)m"
        case let seconds: "\(seconds / day)d\(seconds % day / 3600)h"
        }
    }
}

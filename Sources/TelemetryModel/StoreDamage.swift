internal import Glibc

/// Something stored that cannot be read any more: what it was, where its bytes are now, and how to look at them. For logs, pages and
/// `/health`.
public struct StoreDamage: Sendable, Equatable, CustomStringConvertible {
    /// The raw value is the label of metrics.
    public enum Kind: String, Sendable {
        /// The database as a whole; it was set aside and a new one begun.
        case file
        /// Acknowledged batches that were not in a segment yet.
        case journalRow = "journal_row"
        case segment
        /// Rows of the series' journal, or blocks of samples.
        case series
    }

    public var kind: Kind
    /// What happened, without place and advice.
    public var what: String
    /// Spans concerned; nil = unknown. None of `series`.
    public var spans: UInt64?
    /// Microseconds since 1970; 0 = unknown.
    public var earliest: UInt64
    public var latest: UInt64
    /// A command that shows what is left.
    public var command: String

    public init(kind: Kind, what: String, spans: UInt64?, earliest: UInt64 = 0, latest: UInt64 = 0, command: String) {
        self.kind = kind
        self.what = what
        self.spans = spans
        self.earliest = earliest
        self.latest = latest
        self.command = command
    }

    public var description: String {
        var text = what
        if kind != .series {
            let count = spans.map { "\($0) spans" } ?? "an unknown number of spans"
            text += "; not readable: \(count)"
        }
        if earliest > 0 { text += ", from \(Self.time(earliest)) to \(Self.time(max(earliest, latest)))" }
        return text + "; to look into it: \(command)"
    }

    /// `2026-01-31T08:15:00Z`.
    private static func time(_ microseconds: UInt64) -> String {
        var seconds = time_t(clamping: microseconds / 1_000_000)
        var parts = unsafe tm()
        guard unsafe gmtime_r(&seconds, &parts) != nil else { return "?" }
        var buffer = [CChar](repeating: 0, count: 64)
        let count = unsafe strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A place in the log of one process: behind which record a reader has come. What a server-sent event's `id` says, and `Last-Event-ID`.
///
/// Printed as `LOG-RECORD`: the log in hexadecimal, the record in decimal.
public struct LogPosition: Sendable, Hashable, CustomStringConvertible {
    /// Bytes of the printed form at most: 16 digits, a hyphen, 20 digits.
    public static let textBytesMax = 37

    /// Which process's log: when it began, nanoseconds since 1970.
    public let log: UInt64
    /// The record's number in that log; the first is 1, 0 is before all.
    public let record: UInt64

    public init(log: UInt64, record: UInt64) {
        self.log = log
        self.record = record
    }

    /// Nil for what is no position.
    public init?(_ text: String) {
        guard text.utf8.count <= Self.textBytesMax else { return nil }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let log = UInt64(parts[0], radix: 16), let record = UInt64(parts[1]) else { return nil }
        self.init(log: log, record: record)
    }

    public var description: String { String(log, radix: 16) + "-\(record)" }
}

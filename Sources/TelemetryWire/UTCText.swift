/// Times for people and programs, in UTC.
public enum UTCText {
    /// `2026-11-30T12:00:00Z`; milliseconds since 1970, earlier times as 1970.
    public static func rfc3339(_ unixMilliseconds: Int64) -> String {
        var bytes: [UInt8] = []
        let nanoseconds = UInt64(max(0, unixMilliseconds)).multipliedReportingOverflow(by: 1_000_000)
        AccessLogTime.append(nanoseconds.overflow ? .max : nanoseconds.partialValue, pattern: Array("%Y-%m-%dT%H:%M:%SZ".utf8), to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

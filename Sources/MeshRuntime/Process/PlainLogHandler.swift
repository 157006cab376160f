internal import Glibc
internal import Logging
internal import Primitives

/// Diagnostics as lines on stderr: `2026-08-01T12:00:00Z warning: text`. Control characters are replaced, so that no input writes a line.
struct PlainLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    let level: LogLevelSwitch

    init(_ level: LogLevelSwitch) { self.level = level }

    var logLevel: Logger.Level {
        get { level.level }
        set { level.level = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var text = String.UnicodeScalarView()
        for scalar in event.message.description.unicodeScalars { text.append(scalar.value < 0x20 || scalar.value == 0x7F ? " " : scalar) }
        var line = "\(Self.timestamp()) \(event.level): \(String(text))\n"
        line.withUTF8 { _ = unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    private static func timestamp() -> String { date(Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000_000)) }

    /// Seconds since 1970 as RFC 3339 has it.
    static func date(_ unixSeconds: Int64) -> String {
        var seconds = time_t(unixSeconds)
        var parts = unsafe tm()
        unsafe gmtime_r(&seconds, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let date = unsafe "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
        return unsafe "\(date)T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}

internal import Glibc

/// Colours, only on a terminal and never under NO_COLOR (no-color.org) or TERM=dumb.
struct TerminalStyle {
    static let red = "31"
    static let green = "32"
    static let yellow = "33"
    static let blue = "34"
    static let dim = "2"
    static let bold = "1"
    static let reverse = "7"

    let isColored: Bool

    static let standardOutput = TerminalStyle(descriptor: STDOUT_FILENO)
    static let standardError = TerminalStyle(descriptor: STDERR_FILENO)

    /// Without colours.
    static let plain = TerminalStyle(isColored: false)

    private init(isColored: Bool) { self.isColored = isColored }

    private init(descriptor: Int32) {
        let noColor = unsafe getenv("NO_COLOR").map { unsafe $0.pointee != 0 } ?? false
        let isDumb = unsafe getenv("TERM").map { unsafe String(cString: $0) == "dumb" } ?? false
        isColored = isatty(descriptor) == 1 && !noColor && !isDumb
    }

    func paint(_ text: String, _ code: String) -> String {
        isColored ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }
}

/// Writes a line to stderr.
func complain(_ text: String) {
    var line = text + "\n"
    line.withUTF8 { _ = unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

internal import EventLoops
internal import Glibc

/// Owns the terminal while a live screen is drawn: raw mode and the alternate screen from its making to its end, also where an error is
/// thrown, and the signals that would end the process, which come as events instead. On the main thread, before any other thread starts.
struct TerminalSession: ~Copyable {
    enum Event {
        case input([UInt8])
        /// The other descriptor can be read.
        case woken
        case resized
        /// SIGTERM, SIGINT or SIGHUP.
        case ended(Int32)
        case timeout
        /// The terminal has gone.
        case closed
    }

    /// Alternate screen, no cursor, no wrapping at the right edge; and all of it back.
    private static let enter = "\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l\u{1B}[2J"
    private static let leave = "\u{1B}[0m\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l"
    private static let inputBytesMax = 1024

    private let saved: termios
    private let signals: SignalDescriptor

    /// Whether there is a terminal to talk to, in and out.
    static var isAvailable: Bool { isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 }

    init() throws(SystemError) {
        let signals = try SignalDescriptor([SIGTERM, SIGINT, SIGHUP, SIGWINCH])
        var settings = termios()
        guard unsafe tcgetattr(STDIN_FILENO, &settings) == 0 else { throw SystemError(call: "tcgetattr", code: errno) }
        let saved = settings
        unsafe cfmakeraw(&settings)
        guard unsafe tcsetattr(STDIN_FILENO, TCSADRAIN, &settings) == 0 else { throw SystemError(call: "tcsetattr", code: errno) }
        self.saved = saved
        self.signals = signals
        Self.write(Self.enter)
    }

    deinit {
        Self.write(Self.leave)
        var settings = saved
        unsafe tcsetattr(STDIN_FILENO, TCSADRAIN, &settings)
    }

    /// At least 1 × 1; what a terminal without a size is taken for is 80 × 24.
    var size: TopScreen.Size { Self.size }

    static var size: TopScreen.Size {
        var window = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &window) == 0, window.ws_col > 0, window.ws_row > 0 else {
            return TopScreen.Size(columns: 80, rows: 24)
        }
        return TopScreen.Size(columns: Int(window.ws_col), rows: Int(window.ws_row))
    }

    /// Lines from the top; the rest of the screen is blank. False = the terminal has gone.
    func draw(_ lines: [String]) -> Bool {
        Self.write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
    }

    /// Writes all of a text to stdout at once, also into a pipe; false = nobody reads there any more.
    @discardableResult
    static func write(_ text: String) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            bytes = bytes.dropFirst(count)
        }
        return true
    }

    /// What happens first, within `milliseconds`.
    func wait(milliseconds: Int32, orReadable other: Int32) -> Event {
        var polls = [signals.descriptor, STDIN_FILENO, other].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        guard unsafe poll(&polls, nfds_t(polls.count), max(0, milliseconds)) > 0 else { return .timeout }
        if polls[0].revents != 0 {
            guard let signal = signals.next() else { return .timeout }
            return signal == SIGWINCH ? .resized : .ended(signal)
        }
        if polls[1].revents != 0 {
            var bytes = [UInt8](repeating: 0, count: Self.inputBytesMax)
            let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(STDIN_FILENO, $0.baseAddress, $0.count) }
            return count > 0 ? .input(Array(bytes.prefix(count))) : .closed
        }
        return .woken
    }
}

internal import ArgumentParser
internal import EventLoops
internal import Primitives

/// The live screen: events in, lines out, until a person has seen enough.
struct TopLive {
    let reader: TopReader
    let server: String
    let window: String
    let intervalSeconds: Double
    private var state: TopState
    private var decoder = KeyDecoder()

    /// An escape that nothing follows so soon is the key.
    private static let escapeMilliseconds: Int32 = 50

    init(_ reader: TopReader, server: String, window: String, intervalSeconds: Double, _ state: TopState) {
        self.reader = reader
        self.server = server
        self.window = window
        self.intervalSeconds = intervalSeconds
        self.state = state
    }

    /// Returns the signal that ended it; nil = a key, or the terminal went. What it throws is the terminal's or the thread's refusal.
    mutating func run() throws(SystemError) -> Int32? {
        let terminal = try TerminalSession()
        let polling = try TopPolling(reader)
        polling.ask(for: state.dimension)
        var next = Self.now + intervalSeconds
        while true {
            guard draw(terminal) else { return nil }
            let left = Int32(min(1000, max(0, (next - Self.now) * 1000)).rounded(.up))
            switch terminal.wait(milliseconds: decoder.isWaiting ? Self.escapeMilliseconds : left, orReadable: polling.descriptor) {
            case .ended(let signal): return signal
            case .closed: return nil
            case .resized: break
            case .woken: for answer in polling.take() { take(answer) }
            case .input(let bytes): if press(decoder.take(bytes), terminal, polling) { return nil }
            case .timeout: if press(decoder.finish(), terminal, polling) { return nil }
            }
            if Self.now >= next {
                next = Self.now + intervalSeconds
                polling.ask(for: state.dimension)
            }
        }
    }

    /// Seconds of a clock that only grows.
    private static var now: Double { Double(SystemClock.monotonicNow().nanoseconds) / 1e9 }

    private func screen(_ size: TopScreen.Size) -> TopScreen {
        TopScreen(state: state, size: size, style: .standardOutput, server: server, window: window, now: Self.now)
    }

    private mutating func draw(_ terminal: borrowing TerminalSession) -> Bool {
        let size = terminal.size
        state.scroll(height: screen(size).tableHeight)
        return terminal.draw(screen(size).lines())
    }

    private mutating func take(_ answer: Result<TopPicture, TopProblem>) {
        switch answer {
        case .success(let picture): state.take(picture, time: Self.now)
        case .failure(let problem): state.take(problem: problem.text)
        }
    }

    /// Whether that was the end.
    private mutating func press(_ keys: [TopKey], _ terminal: borrowing TerminalSession, _ polling: TopPolling) -> Bool {
        for key in keys {
            switch state.press(key, height: screen(terminal.size).tableHeight) {
            case .none: break
            case .quit: return true
            case .refresh: polling.ask(for: state.dimension)
            }
        }
        return false
    }
}

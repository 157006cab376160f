internal import Logging
internal import Synchronization

/// The level of the diagnostic log, which the admin port changes. Any thread.
final class LogLevelSwitch: Sendable {
    private static let levels = Logger.Level.allCases
    private let index: Atomic<Int>

    init(_ level: Logger.Level = .info) { index = Atomic(Self.levels.firstIndex(of: level) ?? 0) }

    var level: Logger.Level {
        get { Self.levels[index.load(ordering: .relaxed)] }
        set { index.store(Self.levels.firstIndex(of: newValue) ?? 0, ordering: .relaxed) }
    }
}

internal import Logging
internal import MeshConfig

/// What a configuration's checks found, as lines of the process' log.
enum DiagnosticLog {
    static func write(_ diagnostics: [Diagnostic], to log: Logger) {
        for diagnostic in diagnostics {
            switch diagnostic.severity {
            case .error: log.error("\(diagnostic.text)")
            case .warning: log.warning("\(diagnostic.text)")
            case .notice: log.notice("\(diagnostic.text)")
            }
        }
    }
}

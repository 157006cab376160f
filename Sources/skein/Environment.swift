internal import Glibc

/// The variables of this process.
enum Environment {
    static func value(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }

    /// nil when the variable is not set or is no port: Kubernetes sets `QUERY_PORT=tcp://…` for a service named `query`.
    static func port(_ name: String, in environment: (String) -> String? = value) -> UInt16? { environment(name).flatMap { UInt16($0) } }
}

internal import Primitives

internal import HTTP

/// The limit that a request's `grpc-timeout` sets.
enum GRPCTimeout {
    /// Beyond it there is none.
    private static let nanosecondsMax: UInt64 = 365 * 86_400_000_000_000

    /// Nanoseconds; nil = no such value, or one beyond a year. Zero is "already over": 0 stands for no limit further on.
    static func parse(_ value: LentBytes) -> UInt64? {
        guard let asked = unsafe GRPCFields.timeoutNanoseconds(value.buffer), asked <= nanosecondsMax else { return nil }
        return max(1, asked)
    }
}

internal import CSystem

/// Nanoseconds on the monotonic clock; only differences mean something.
public struct MonotonicInstant: Comparable, Hashable, Sendable, BitwiseCopyable {
    public var nanoseconds: UInt64

    @inlinable
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    public static let distantFuture = MonotonicInstant(nanoseconds: .max)

    @inlinable
    public static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    /// Saturates instead of wrapping.
    @inlinable
    public static func + (instant: Self, nanoseconds: UInt64) -> Self {
        let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(nanoseconds)
        return overflow ? .distantFuture : Self(nanoseconds: sum)
    }

    /// Nanoseconds since `earlier`; zero when `earlier` is later.
    @inlinable
    public func nanoseconds(since earlier: Self) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? nanoseconds &- earlier.nanoseconds : 0
    }
}

/// The two clocks of the process. Pure code takes instants as parameters instead.
public enum SystemClock {
    public static func monotonicNow() -> MonotonicInstant {
        MonotonicInstant(nanoseconds: read(CLOCK_MONOTONIC))
    }

    /// Nanoseconds since 1970.
    public static func unixNanoseconds() -> UInt64 { read(CLOCK_REALTIME) }

    /// CPU time of the calling thread, nanoseconds.
    public static func threadCPUNanoseconds() -> UInt64 { read(CLOCK_THREAD_CPUTIME_ID) }

    /// CPU time of the process, nanoseconds.
    public static func processCPUNanoseconds() -> UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return UInt64(bitPattern: Int64(time.tv_sec)) &* 1_000_000_000 &+ UInt64(bitPattern: Int64(time.tv_nsec))
    }
}

import Primitives

/// CPU time of this thread that `body` takes, milliseconds.
func milliseconds(_ body: () -> Void) -> Double {
    let began = SystemClock.threadCPUNanoseconds()
    body()
    return Double(SystemClock.threadCPUNanoseconds() - began) / 1e6
}

/// Two places behind the point.
func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }

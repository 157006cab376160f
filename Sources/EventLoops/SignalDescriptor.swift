internal import CSystem
internal import Glibc

/// Some signals as values, for a program that has more to wait for than they: `descriptor` is readable while one waits, and `next` takes
/// it. Create it on the main thread before any other thread starts, so that all inherit the mask. Its end gives the old mask back.
public struct SignalDescriptor: ~Copyable {
    private let file: FileDescriptor
    private let savedMask: sigset_t

    public init(_ signals: [Int32]) throws(SystemError) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in signals { unsafe sigaddset(&set, signal) }
        file = try FileDescriptor(checking: unsafe signalfd(-1, &set, Int32(SFD_NONBLOCK | SFD_CLOEXEC)), "signalfd")
        var mask = sigset_t()
        unsafe pthread_sigmask(SIG_BLOCK, &set, &mask)
        savedMask = mask
    }

    deinit {
        var mask = savedMask
        unsafe pthread_sigmask(SIG_SETMASK, &mask, nil)
    }

    public var descriptor: Int32 { file.rawValue }

    /// The number of the signal that came; nil = none.
    public func next() -> Int32? {
        var info = signalfd_siginfo()
        guard unsafe read(file.rawValue, &info, MemoryLayout<signalfd_siginfo>.size) > 0 else { return nil }
        return Int32(truncatingIfNeeded: info.ssi_signo)
    }
}

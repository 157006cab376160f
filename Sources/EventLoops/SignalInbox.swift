internal import CSystem
internal import Glibc

/// Signals that the process acts on, as values instead of interruptions.
public enum ProcessSignal: Sendable {
    /// SIGTERM or SIGINT: drain; a second one: now.
    case terminate
    /// SIGHUP: reload the configuration and reopen log files.
    case reload
    /// SIGUSR1: reopen log files, as nginx and Envoy do; the configuration stays.
    case reopen
    /// SIGUSR2, which means nothing here. Left to the system it would end the process.
    case unused
}

/// Receives signals through a descriptor. Create it on the main thread before any other thread starts, so that all inherit the mask.
public struct SignalInbox: ~Copyable {
    private let descriptor: FileDescriptor

    public init() throws(SystemError) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2] { unsafe sigaddset(&set, signal) }
        // Writing to a closed connection, or beyond a file-size limit, is an error value, not a signal.
        unsafe sigaddset(&set, SIGPIPE)
        unsafe sigaddset(&set, SIGXFSZ)
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        unsafe sigdelset(&set, SIGPIPE)
        unsafe sigdelset(&set, SIGXFSZ)
        descriptor = try FileDescriptor(checking: unsafe signalfd(-1, &set, Int32(SFD_NONBLOCK | SFD_CLOEXEC)), "signalfd")
    }

    /// Waits up to `milliseconds` for a signal, or until `other` (-1 = nothing) can be read; nil when no signal came.
    public func wait(milliseconds: Int32, orReadable other: Int32 = -1) -> ProcessSignal? {
        var polls = [
            pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0), pollfd(fd: other, events: Int16(POLLIN), revents: 0),
        ]
        guard unsafe Glibc.poll(&polls, 2, milliseconds) > 0, polls[0].revents != 0 else { return nil }
        var info = signalfd_siginfo()
        guard unsafe read(descriptor.rawValue, &info, MemoryLayout<signalfd_siginfo>.size) > 0 else { return nil }
        return switch Int32(bitPattern: info.ssi_signo) {
        case SIGHUP: .reload
        case SIGUSR1: .reopen
        case SIGUSR2: .unused
        default: .terminate
        }
    }
}

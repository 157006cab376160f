internal import EventLoops
internal import Primitives
internal import Routing

/// One address this worker listens on. Its place in the list never changes, so connections can name it across reloads.
struct ListenerSocket {
    var plan: ListenerPlan
    /// -1 = closed.
    var fd: Int32
    /// Index in the current routing tables; -1 = the configuration no longer has it.
    var index: Int
    /// Not accepting for a moment, because descriptors ran out.
    var isPaused = false

    /// Its connections come to all workers through one socket.
    var isShared: Bool { plan.endpoint.family == .unix }

    mutating func close() {
        if fd >= 0 { Socket.close(listener: fd, on: plan.endpoint) }
        fd = -1
    }
}

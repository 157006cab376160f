internal import CSystem
internal import Glibc
public import Primitives
internal import Synchronization

/// The listening sockets of this process by their addresses: what another process can take over, and what this one took over and nobody
/// has asked for yet. Connections that wait in such a socket belong to it, so none is lost when the process changes behind it.
///
/// Any thread; a lock for a few words, between requests only.
public enum ListenerTable {
    private struct State {
        var open: [Int32: SocketEndpoint] = [:]
        /// Taken over; each is given to whoever listens on its address next.
        var inherited: [SocketEndpoint: [Int32]] = [:]
        var isHandedOver = false
    }

    private static let state = Mutex(State())

    static func note(_ fd: Int32, on endpoint: SocketEndpoint) { state.withLock { $0.open[fd] = endpoint } }
    static func forget(_ fd: Int32) { state.withLock { $0.open[fd] = nil } }

    /// A socket that was taken over, if there is one left for this address.
    static func claim(_ endpoint: SocketEndpoint) -> Int32? {
        state.withLock { state in
            guard let fd = state.inherited[endpoint]?.popLast() else { return nil }
            state.open[fd] = endpoint
            return fd
        }
    }

    /// Keeps a socket of another process for whoever listens on its address.
    public static func inherit(_ fd: Int32, on endpoint: SocketEndpoint) {
        state.withLock { $0.inherited[endpoint, default: []].append(fd) }
    }

    /// Whether a socket for this address was taken over and waits.
    public static func hasInherited(_ endpoint: SocketEndpoint) -> Bool { state.withLock { $0.inherited[endpoint]?.isEmpty == false } }

    /// Sockets of one address, the most there are.
    public static var socketsPerAddress: Int {
        Dictionary(grouping: snapshot.map(\.endpoint)) { $0 }.values.map(\.count).max() ?? 0
    }

    /// Closes what was taken over and nobody wants, but for these addresses; the addresses that were closed.
    public static func closeUnclaimed(except kept: Set<SocketEndpoint>) -> [SocketEndpoint] {
        state.withLock { state in
            let unwanted = state.inherited.filter { !$0.value.isEmpty && !kept.contains($0.key) }
            for (endpoint, sockets) in unwanted {
                for fd in sockets { close(fd) }
                state.inherited[endpoint] = nil
            }
            return Array(unwanted.keys)
        }
    }

    /// Everything that is listened on, for sending; the descriptors stay this process's own. A number that was closed meanwhile and
    /// stands for something else now is left out.
    static var snapshot: [(fd: Int32, endpoint: SocketEndpoint)] {
        state.withLock { state in
            state.open = state.open.filter { isListening($0.key, on: $0.value) }
            // What waits for somebody here goes on to who comes next.
            return state.open.map { ($0.key, $0.value) } + state.inherited.flatMap { endpoint, sockets in sockets.map { ($0, endpoint) } }
        }
    }

    private static func isListening(_ fd: Int32, on endpoint: SocketEndpoint) -> Bool {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard unsafe getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0, value == 1 else { return false }
        return endpoint.family == .unix || Socket.localEndpoint(fd) == endpoint
    }

    /// From now on another process listens here: files of sockets are its, not ours to remove.
    public static func handOver() { state.withLock { $0.isHandedOver = true } }
    static var isHandedOver: Bool { state.withLock { $0.isHandedOver } }
}

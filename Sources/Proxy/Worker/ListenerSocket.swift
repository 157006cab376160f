internal import EventLoops
internal import Primitives
internal import Routing
internal import TelemetryModel

/// One address this worker listens on. Its place in the worker's list never changes, so connections can name it across reloads.
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

extension ProxyWorker {
    /// Opens listeners that are new, closes those that went, keeps the rest with all their connections.
    mutating func adoptListeners(_ plans: [ListenerPlan]) {
        for place in listeners.indices { listeners[place].index = -1 }
        for (index, plan) in plans.enumerated() {
            let place: Int
            if let known = listeners.firstIndex(where: { $0.plan.endpoint == plan.endpoint && $0.plan.side == plan.side }) {
                place = known
            } else {
                listeners.append(ListenerSocket(plan: plan, fd: -1, index: index))
                place = listeners.count - 1
            }
            listeners[place].index = index
            listeners[place].plan = plan
            if listeners[place].fd < 0, !isDraining { openListener(place) }
        }
        for place in listeners.indices where listeners[place].index < 0 { closeListener(place) }
    }

    private mutating func openListener(_ place: Int) {
        do throws(SystemError) {
            let fd = try Socket.listen(on: listeners[place].plan.endpoint, reusePort: true)
            listeners[place].fd = fd
            try awaitConnections(place)
        } catch {
            listeners[place].close()
            cannotListen(place, error)
        }
    }

    private mutating func cannotListen(_ place: Int, _ error: SystemError) {
        handle.statistics.add(handle.statistics.acceptFailures)
        handle.note(problem: "listener \(listeners[place].plan.name) on \(listeners[place].plan.endpoint): \(error)")
    }

    private mutating func awaitConnections(_ place: Int) throws(SystemError) {
        let token = listenerToken(.listener, place)
        if listeners[place].isShared { try poller.add(sharedListener: listeners[place].fd, token: token) } else { try poller.add(readable: listeners[place].fd, token: token) }
    }

    private mutating func listenerToken(_ kind: Token.Kind, _ place: Int) -> UInt64 {
        Token(kind, SlotID(index: UInt32(truncatingIfNeeded: place), generation: 1)).rawValue
    }

    mutating func closeListener(_ place: Int) {
        guard listeners[place].fd >= 0 else { return }
        poller.remove(listeners[place].fd)
        listeners[place].close()
    }

    mutating func acceptConnections(_ place: Int) {
        guard place < listeners.count, listeners[place].fd >= 0, !listeners[place].isPaused else { return }
        for _ in 0..<limits.acceptsPerTurnMax {
            switch Socket.accept(listeners[place].fd) {
            case .none: return
            case .exhausted:
                handle.statistics.add(handle.statistics.acceptFailures)
                // Level-triggered epoll would turn the loop at full speed for a connection that cannot be taken.
                poller.remove(listeners[place].fd)
                listeners[place].isPaused = true
                _ = timers.arm(listenerToken(.listenerResume, place), at: now + limits.acceptPauseNanoseconds)
                return
            case .connection(let fd, let peer):
                addDownstream(fd, peer, place)
                if listeners[place].isShared {
                    letOthersAccept(place)
                    return
                }
            }
        }
    }

    mutating func resumeListener(_ place: Int) {
        guard place < listeners.count, listeners[place].fd >= 0, listeners[place].isPaused else { return }
        listeners[place].isPaused = false
        awaitAgain(place)
    }

    private mutating func awaitAgain(_ place: Int) {
        do throws(SystemError) {
            try awaitConnections(place)
        } catch {
            closeListener(place)
            cannotListen(place, error)
        }
    }

    /// The kernel wakes whoever waits first in the line of a shared listener: without this, one worker would get all connections of a quiet time. Who has taken
    /// one goes to the end, so that they come round in turn; whatever else waits makes the next event.
    private mutating func letOthersAccept(_ place: Int) {
        poller.remove(listeners[place].fd)
        awaitAgain(place)
    }

    private mutating func addDownstream(_ fd: Int32, _ peer: SocketEndpoint, _ place: Int) {
        let deadline = now + limits.idleTimeoutNanoseconds
        let connection = DownstreamConnection(
            fd: fd, listener: place, remote: peer, local: listeners[place].isShared ? listeners[place].plan.endpoint : Socket.localEndpoint(fd),
            deadline: deadline)
        guard let id = downstreams.insert(connection) else {
            handle.statistics.add(handle.statistics.acceptFailures)
            Socket.close(fd)
            return
        }
        do throws(SystemError) {
            try poller.add(stream: fd, token: Token(.downstream, id).rawValue)
        } catch {
            handle.statistics.add(handle.statistics.acceptFailures)
            Socket.close(fd)
            downstreams.remove(id)
            return
        }
        handle.statistics.add(handle.statistics.downstreamTotal)
        setDeadline(ofDownstream: id, .idle, after: limits.idleTimeoutNanoseconds)
        classify(id)
    }
}

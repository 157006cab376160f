internal import Policy
internal import Primitives
internal import Synchronization
internal import TelemetryModel

/// Requests that wait for the keys of an issuer. Of one worker; bounded.
struct KeyWaiters {
    private(set) var requests: [SlotID] = []

    /// One too many is not told of new keys, and looks for them when its time is over.
    mutating func add(_ id: SlotID, _ loop: inout WorkerLoop) {
        loop.countEvent { $0.add($0.keyWaits) }
        if requests.count < TokenLimits.waitingMax { requests.append(id) }
    }

    mutating func take() -> [SlotID] {
        let all = requests
        requests = []
        return all
    }
}

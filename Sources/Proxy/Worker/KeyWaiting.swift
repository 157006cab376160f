internal import Policy
internal import Primitives

/// New keys, and those who waited for them.
enum KeyWaiting {
    /// Takes the keys as they are now, and goes on with the requests that wait for some. Between two turns' events only.
    static func takeKeys(_ traffic: inout Traffic) {
        traffic.sides.context.tokens.refreshKeys()
        for id in traffic.keyWaiters.take() { traffic.stopWaiting(id) }
        traffic.flushStreams()
    }
}

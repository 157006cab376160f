import OutlierDetection
import Primitives
import Testing

@Suite struct EndpointFailuresTests {
    private let state = UpstreamState(clustersMax: 4, endpointsMax: 4)

    private func slots() -> (cluster: ClusterSlot, endpoint: EndpointSlot) {
        let assigned = state.slots(for: [ClusterMembership(key: ClusterKey(7), endpoints: [.init(ipv4: 0x7F00_0001, port: 80)])]).clusters[
            0]
        return (assigned.slot, assigned.endpoints[0])
    }

    /// "Which endpoint, and why" is the question at three in the morning; a sum over all workers answers neither.
    @Test func keepsCountsAndTheLastFailureOfEachEndpoint() {
        let (cluster, endpoint) = slots()
        #expect(state.failures(of: endpoint) == EndpointFailures())
        state.noteFailure(EndpointFailure(.connectionRefused), endpoint: endpoint, cluster: cluster, unixMilliseconds: 1_700_000_000_123)
        state.noteFailure(
            EndpointFailure(.connectError, code: 113), endpoint: endpoint, cluster: cluster, unixMilliseconds: 1_700_000_001_123)
        state.noteFailure(EndpointFailure(.reset), endpoint: endpoint, cluster: cluster, unixMilliseconds: 1_700_000_002_123)
        let failures = state.failures(of: endpoint)
        #expect(failures.connect == 2 && failures.other == 1)
        #expect(failures.last == EndpointFailure(.reset) && failures.lastUnixMilliseconds == 1_700_000_002_123)
        #expect(state.connectFailures(cluster: cluster) == 2)
    }

    /// A number is not an answer: people get the words of the system.
    @Test func saysWhatTheSystemSaid() {
        #expect(EndpointFailure(.connectError, code: 113).text == "no connection: No route to host")
        #expect(EndpointFailure(.connectError, code: 100_000).code == 4095, "what is no errno does not trap")
        #expect(EndpointFailure(.connectTimeout).isConnectFailure && !EndpointFailure(.connectionClosed).isConnectFailure)
    }

    /// Endpoints beyond the table are counted nowhere and cost nothing.
    @Test func aSlotOfNoneIsHarmless() {
        state.noteFailure(EndpointFailure(.reset), endpoint: .none, cluster: .none, unixMilliseconds: 1)
        #expect(state.failures(of: .none) == EndpointFailures() && state.connectFailures(cluster: .none) == 0)
    }
}

import Primitives
import TelemetryModel
import Testing

/// Who comes without TLS is remembered within a bound, and nobody is left uncounted.
@Suite struct PlaintextClientsTests {
    private func key(_ source: Int, port: UInt16 = 8080) -> PlaintextClients.Key {
        PlaintextClients.Key(
            source: SocketEndpoint(ipv4: 0x0A00_0000 + UInt32(source), port: 0), destination: DestinationLabelsID(1), port: port,
            isHTTP: true)
    }

    @Test func connectionsAddUpAndTheLastTimeStays() {
        let clients = PlaintextClients()
        for time in [5, 9, 7] as [UInt64] { clients.note(key(1), unixSeconds: time) }
        #expect(clients.counts[key(1)]?.connections == 3 && clients.counts[key(1)]?.lastUnixSeconds == 9)
    }

    /// A scan from thousands of addresses makes one more row for each port.
    @Test func sourcesBeyondTheBoundShareARow() {
        let clients = PlaintextClients()
        let count = PlaintextClients.rowsMax + 1000
        for source in 0..<count { clients.note(key(source), unixSeconds: UInt64(source)) }
        clients.note(key(0), unixSeconds: 1)
        let counts = clients.counts
        #expect(counts.count == PlaintextClients.rowsMax + 1)
        #expect(counts.values.reduce(0) { $0 + $1.connections } == UInt64(count + 1))
        var rest = key(0)
        rest.source = SocketEndpoint()
        #expect(counts[rest]?.connections == 1000 && counts[rest]?.lastUnixSeconds == UInt64(count - 1) && counts[key(0)]?.connections == 2)
    }
}

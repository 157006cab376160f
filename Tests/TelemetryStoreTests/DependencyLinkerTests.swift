import Testing
@testable import TelemetryStore

/// Zipkin's linking rules, one example each (semantics 2.11).
@Suite struct DependencyLinkerTests {
    private typealias Node = LinkNode
    private static let client: UInt8 = 1, server: UInt8 = 2, producer: UInt8 = 3, consumer: UInt8 = 4

    private func node(
        _ id: UInt64, parent: UInt64 = 0, kind: UInt8, local: Int = 0, remote: Int = 0, shared: Bool = false, error: Bool = false
    ) -> LinkNode {
        Node(id: id, parentID: parent, kind: kind, isShared: shared, hasError: error, localService: local, remoteService: remote)
    }

    private func links(_ nodes: [LinkNode]) -> [[Int]] {
        var linker = DependencyLinker()
        var found: [[Int]] = []
        linker.connect(nodes, precedes: <) { found.append([$0, $1, $2 ? 1 : 0]) }
        return found
    }

    @Test func clientAloneNamesTheLink() { #expect(links([node(1, kind: Self.client, local: 1, remote: 2)]) == [[1, 2, 0]]) }

    @Test func serverUnderClientNamesTheLinkOnce() {
        #expect(links([node(1, kind: Self.client, local: 1, remote: 9), node(2, parent: 1, kind: Self.server, local: 2)]) == [[1, 2, 0]])
    }

    @Test func sharedServerHangsUnderItsClient() {
        #expect(links([node(1, kind: Self.client, local: 1), node(1, kind: Self.server, local: 2, shared: true)]) == [[1, 2, 0]])
    }

    @Test func rootServerWithUnknownClientIsSkipped() { #expect(links([node(1, kind: Self.server, local: 1)]) == []) }

    @Test func rootServerWithKnownClientLinks() { #expect(links([node(1, kind: Self.server, local: 1, remote: 5)]) == [[5, 1, 0]]) }

    @Test func kindlessSpanNeedsBothNames() {
        #expect(links([node(1, kind: 0, local: 1)]) == [])
        #expect(links([node(1, kind: 0, local: 1, remote: 2)]) == [[1, 2, 0]])
    }

    @Test func messagingNeedsTheBrokerAndLooksForNoAncestor() {
        #expect(
            links([node(1, kind: Self.producer, local: 1, remote: 7), node(2, parent: 1, kind: Self.consumer, local: 2, remote: 7)]) == [
                [1, 7, 0], [7, 2, 0],
            ])
        #expect(links([node(1, kind: Self.producer, local: 1), node(2, parent: 1, kind: Self.consumer, local: 2)]) == [])
    }

    @Test func missingHopIsFilledInWithoutError() {
        #expect(
            links([node(1, kind: Self.server, local: 1), node(2, parent: 1, kind: Self.client, local: 2, remote: 3, error: true)]) == [
                [1, 2, 0], [2, 3, 1],
            ])
    }

    @Test func errorOfTheCallingClientCounts() {
        #expect(links([node(1, kind: Self.client, local: 1, error: true), node(2, parent: 1, kind: Self.server, local: 2)]) == [[1, 2, 1]])
    }

    @Test func localSpansBetweenAreLookedThrough() {
        #expect(links([
            node(1, kind: Self.server, local: 1), node(2, parent: 1, kind: 0, local: 1),
            node(3, parent: 2, kind: Self.client, local: 1, remote: 2),
        ]) == [[1, 2, 0]])
    }

    /// A circle of parents hangs under nothing, so nothing of it is linked, and nothing hangs or ends the process.
    @Test func parentsInACircleEnd() {
        #expect(
            links([
                node(1, parent: 2, kind: 0, local: 1), node(2, parent: 1, kind: 0, local: 1),
                node(3, parent: 1, kind: Self.client, local: 1, remote: 2),
            ]) == [])
    }

    /// Zipkin takes the client's error for the server's only where the server says that the client is its parent.
    @Test func errorOfASharedSpansClientIsTheClients() {
        #expect(
            links([node(1, kind: Self.client, local: 1, error: true), node(1, kind: Self.server, local: 2, shared: true)]) == [[1, 2, 0]])
    }

    @Test func aServerWithItsClientsIDAndNoFlagIsShared() {
        #expect(links([node(1, kind: Self.server, local: 2), node(1, kind: Self.client, local: 1)]) == [[1, 2, 0]])
    }

    @Test func aSpanThatIsItsOwnParentIsARoot() {
        #expect(links([node(1, parent: 1, kind: Self.client, local: 1, remote: 2)]) == [[1, 2, 0]])
    }
}

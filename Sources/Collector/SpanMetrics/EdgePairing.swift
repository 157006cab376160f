internal import Primitives
internal import TelemetryModel

/// How the two services of an edge are connected: Tempo's `connection_type`.
enum EdgeConnection: UInt8, CaseIterable {
    case direct = 0
    case virtualNode = 1
    case messagingSystem = 2
    case database = 3
}

/// One call from a service to another, counted once. Durations are microseconds, 0 = unknown.
struct EdgeCall: Equatable {
    var client: UInt32
    var server: UInt32
    var connection: EdgeConnection
    var clientDuration: UInt64
    var serverDuration: UInt64
    var isFailed: Bool
    var weight: Double
    /// What an exemplar of it names: the trace, with the upper half of its id, and the client's span; the root's where no client was seen.
    var id: CallID
    var traceHigh: UInt64
}

/// What became of halves of edges. Raw values are places in lists of counts.
enum EdgeOutcome: Int, CaseIterable {
    /// Client and server were seen.
    case paired
    case database
    /// A client alone that names its peer.
    case virtualNode
    /// A server alone at the root of its trace.
    case user
    /// Not counted: an application and its own sidecar.
    case sameService
    /// Not counted: a proxy's span counted the call.
    case proxied
    /// Not counted: nothing tells the other side.
    case unpaired

    /// In the counters of this process.
    var metricLabel: String {
        switch self {
        case .paired: "paired"
        case .database: "database"
        case .virtualNode: "virtual_node"
        case .user: "user"
        case .sameService: "same_service"
        case .proxied: "proxied"
        case .unpaired: "unpaired"
        }
    }
}

/// Makes calls of spans (semantics 3.2): client and server of a call pair when the server's parent is the client's span; a Zipkin server
/// that shares its client's id pairs by that. Whoever is alone after a wait is judged by what it says itself.
///
/// **Every call is counted once, by the spans nearest to the wire.** Between two sidecars a call has up to four spans, each the parent
/// of the next:
///
///     client of the application → client of its proxy → server of the other proxy → server of the other application
///
/// Only the two in the middle, or what there is of them, are a client with a server right under it, so they alone pair, and a side
/// without a proxy is the application itself. What is outside must not become an edge of its own: a server whose parent is a server never
/// pairs, and is no root. A client would be taken for the call of a virtual node or a database when it names its peer: not if the proxy's
/// client span under it paired before (`proxied`). Proxies that report a server span for their own application, and a client span to it,
/// pair with that application: the two have one name, perhaps with the namespace behind a dot, and are no edge (`sameService`).
///
/// The proxies' names stand at edges, then, and not the applications': sidecars are everywhere or nowhere in a mesh, while applications
/// trace or do not, and a service must not be two nodes. Dependency links of the same traces name the same services.
///
/// Pure but for time, which is given; bounded by `SpanMetricsLimits`. A value, confined to its owner. Spans that are sent twice may be
/// counted twice.
struct EdgePairing {
    /// Calls since the owner took them last.
    private(set) var calls: [EdgeCall] = []
    /// How often each `EdgeOutcome` was.
    private var outcomes = [UInt64](repeating: 0, count: EdgeOutcome.allCases.count)
    /// Halves whose time was over early, because there were too many.
    private(set) var evicted: UInt64 = 0

    private let waitNanoseconds: UInt64
    private var open: OpenEdges
    private var proxied: ProxiedCalls
    /// The text `user`.
    private let user: UInt32

    init(_ limits: SpanMetricsLimits, user: UInt32) {
        waitNanoseconds = limits.edgeWaitNanoseconds
        open = OpenEdges(countMax: limits.edgesOpenMax)
        proxied = ProxiedCalls(count: limits.proxiedCallsMax)
        self.user = user
    }

    var openCount: Int { open.count }

    func count(_ outcome: EdgeOutcome) -> UInt64 { outcomes[outcome.rawValue] }

    /// Calls `body` with every text that waits.
    func forEachText(_ body: (UInt32) -> Void) {
        open.forEach { edge in
            body(edge.half.service)
            body(edge.half.peer)
        }
    }

    mutating func removeCalls() { calls.removeAll(keepingCapacity: true) }

    // MARK: Halves

    /// A CLIENT or PRODUCER span. `traceHigh`: the upper half of the trace's id. `texts` is only read.
    mutating func takeClient(_ id: CallID, traceHigh: UInt64, _ half: EdgeHalf, now: MonotonicInstant, _ texts: inout InternedTexts) {
        guard let place = open.place(of: id) else { return wait(OpenEdge(id: id, half: half), traceHigh, now) }
        let other = open[place]
        // The same span again.
        if other.isClient { return note(.unpaired) }
        open.remove(at: place)
        pair(id, traceHigh, client: half, server: other.half, &texts)
    }

    /// A CLIENT span to a database. Databases send no spans, so that it waits for none.
    mutating func takeDatabase(_ id: CallID, traceHigh: UInt64, _ half: EdgeHalf, named name: UInt32) {
        if proxied.hasCall(id) { return note(.proxied) }
        count(id, traceHigh, half, client: half.service, server: name, .database, .database)
    }

    /// A SERVER or CONSUMER span. `id` is the client's; at the root, where there is none, its own. `texts` is only read.
    mutating func takeServer(_ id: CallID, traceHigh: UInt64, _ half: EdgeHalf, now: MonotonicInstant, _ texts: inout InternedTexts) {
        guard let place = open.place(of: id) else { return wait(OpenEdge(id: id, half: half), traceHigh, now) }
        let other = open[place]
        if other.isClient {
            open.remove(at: place)
            return pair(id, traceHigh, client: other.half, server: half, &texts)
        }
        // Two servers have one id here. The one whose own it is stays: the other one is below it, and no client's.
        if half.flags.contains(.own) { open.replace(half, at: place) }
        note(.unpaired)
    }

    /// Judges halves that have waited long enough.
    mutating func expire(now: MonotonicInstant) {
        guard now.nanoseconds >= waitNanoseconds else { return }
        let latest = MonotonicInstant(nanoseconds: now.nanoseconds - waitNanoseconds)
        while let (edge, traceHigh) = open.takeOldest(since: latest) { judge(edge, traceHigh) }
    }

    private mutating func wait(_ edge: OpenEdge, _ traceHigh: UInt64, _ now: MonotonicInstant) {
        if open.isFull, let oldest = open.takeOldest() {
            evicted &+= 1
            judge(oldest.edge, oldest.traceHigh)
        }
        open.insert(edge, traceHigh: traceHigh, now: now)
    }

    // MARK: Calls

    private mutating func pair(
        _ id: CallID, _ traceHigh: UInt64, client: EdgeHalf, server: EdgeHalf, _ texts: inout InternedTexts
    ) {
        let isThroughProxy = client.flags.contains(.proxy)
        if isThroughProxy != server.flags.contains(.proxy) {
            let (app, proxy) = isThroughProxy ? (server.service, client.service) : (client.service, server.service)
            if texts.isName(proxy, of: app) { return note(.sameService) }
        }
        note(.paired)
        let flags = client.flags.union(server.flags)
        calls.append(EdgeCall(
            client: client.service, server: server.service, connection: flags.contains(.messaging) ? .messagingSystem : .direct,
            clientDuration: client.duration, serverDuration: server.duration, isFailed: flags.contains(.failed),
            weight: Double(max(client.weight, server.weight)), id: id, traceHigh: traceHigh))
        if isThroughProxy, client.parentID != 0 { proxied.insert(CallID(traceLow: id.traceLow, spanID: client.parentID)) }
    }

    /// Nothing more comes.
    private mutating func judge(_ edge: OpenEdge, _ traceHigh: UInt64) {
        let half = edge.half
        if edge.isClient {
            if half.peer == InternedTexts.none { return note(.unpaired) }
            if proxied.hasCall(edge.id) { return note(.proxied) }
            count(edge.id, traceHigh, half, client: half.service, server: half.peer, .virtualNode, .virtualNode)
        } else if half.parentID != 0 {
            note(.unpaired)
        } else if half.peer != InternedTexts.none {
            count(edge.id, traceHigh, half, client: half.peer, server: half.service, .virtualNode, .virtualNode)
        } else if half.flags.contains(.messaging) {
            note(.unpaired)
        } else {
            count(edge.id, traceHigh, half, client: user, server: half.service, .virtualNode, .user)
        }
    }

    /// A call of which one span is known: its duration stands for both sides.
    private mutating func count(
        _ id: CallID, _ traceHigh: UInt64, _ half: EdgeHalf, client: UInt32, server: UInt32, _ connection: EdgeConnection,
        _ outcome: EdgeOutcome
    ) {
        note(outcome)
        calls.append(EdgeCall(
            client: client, server: server, connection: connection, clientDuration: half.duration, serverDuration: half.duration,
            isFailed: half.flags.contains(.failed), weight: Double(half.weight), id: id, traceHigh: traceHigh))
    }

    private mutating func note(_ outcome: EdgeOutcome) { outcomes[outcome.rawValue] &+= 1 }
}

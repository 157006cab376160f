import TelemetryModel

/// One span of Zipkin's version 1 and what it becomes in version 2.
///
/// Version 1 has no kind: events named `cs`, `cr`, `sr`, `ss` (and `ms`, `mr`, `ws`, `wr` of messaging) say who did what, each with the
/// host that saw it, and one span may hold the client's and the server's view together. It becomes a span for each host, the server's
/// flagged as shared. Binary annotations are tags, or with the keys `sa`, `ca`, `ma` the address of the other side. The rules, times
/// included, are those of Zipkin's V1JsonSpanReader and V1SpanConverter; beyond them numbers and booleans are kept as tags.
struct ZipkinV1Span {
    /// Hosts of one span; what others say goes to the first. Honest spans have two.
    static let hostsMax = 64

    private struct Event: BitwiseCopyable {
        var timestamp: UInt64
        var value: TextRef
        /// Row of the batch's endpoints.
        var endpoint: UInt32
    }

    private struct BinaryAnnotation: BitwiseCopyable {
        var key: TextRef
        var value: TextRef
        var endpoint: UInt32
        var isTrue = false
    }

    /// What one host saw: a span to be.
    private struct Host {
        var row: SpanRow
        var annotations: [AnnotationRow] = []
        var tags: [TagRow] = []
    }

    /// The events that say who did what.
    private enum Core: Int {
        case clientSent, clientReceived, serverReceived, serverSent, messageSent, messageReceived, wireSent, wireReceived

        var kind: SpanKind {
            switch self {
            case .clientSent, .clientReceived: .client
            case .serverReceived, .serverSent: .server
            case .messageSent: .producer
            case .messageReceived: .consumer
            case .wireSent, .wireReceived: .unspecified
            }
        }
    }

    /// Identifiers, name, times and flags as they were sent.
    var row = SpanRow(traceID: .none, id: .none)
    private var events: [Event] = []
    private var binaryAnnotations: [BinaryAnnotation] = []
    private var hosts: [Host] = []
    private var core = InlineArray<8, Event?>(repeating: nil)

    init() {}

    // MARK: Reading

    mutating func readAnnotations(_ reader: inout ZipkinJSONReader, _ batch: inout SpanBatch) throws(JSONScanError) {
        guard try reader.scanner.openArray() else { return }
        repeat {
            if try reader.scanner.takeNull() { continue }
            let annotation = try reader.annotation(hasEndpoint: true, &batch)
            events.append(Event(timestamp: annotation.timestamp, value: annotation.value, endpoint: annotation.endpoint))
        } while try reader.scanner.hasNextElement()
    }

    mutating func readBinaryAnnotations(_ reader: inout ZipkinJSONReader, _ batch: inout SpanBatch) throws(JSONScanError) {
        guard try reader.scanner.openArray() else { return }
        repeat {
            if try reader.scanner.takeNull() { continue }
            var key: TextRef?
            var value: TextRef?
            var isTrue = false
            var endpoint = EndpointRow.absent
            if try reader.scanner.openObject() {
                repeat {
                    let name = try reader.scanner.key()
                    if try reader.scanner.takeNull() { continue }
                    if reader.scanner.equals(name, "key") {
                        key = reader.store(try reader.scanner.scalarText(), &batch)
                    } else if reader.scanner.equals(name, "value") {
                        isTrue = try reader.scanner.peek() == UInt8(ascii: "t")
                        value = try reader.value(&batch)
                    } else if reader.scanner.equals(name, "endpoint") {
                        endpoint = try reader.endpoint(isLocal: false, &batch)
                    } else {
                        try reader.scanner.skipValue()
                    }
                } while try reader.scanner.hasNextMember()
            }
            guard let key else { throw reader.scanner.error(.binaryAnnotationWithoutKey) }
            guard let value else { continue }
            binaryAnnotations.append(BinaryAnnotation(key: key, value: value, endpoint: endpoint, isTrue: isTrue))
        } while try reader.scanner.hasNextElement()
    }

    // MARK: Converting

    /// Appends the spans of version 2.
    mutating func convert(into batch: inout SpanBatch) {
        var first = row
        first.timestamp = 0
        first.duration = 0
        if first.parentID == first.id { first.parentID = .none }
        hosts = [Host(row: first)]
        takeEvents(batch)
        deriveTimes(batch)
        takeBinaryAnnotations(&batch)
        for host in hosts { Self.append(host, to: &batch) }
    }

    /// Sorts events by host; those that say who did what are kept aside, when they say of whom.
    private mutating func takeEvents(_ batch: SpanBatch) {
        for event in events {
            let host = host(of: event.endpoint, batch)
            guard event.endpoint != EndpointRow.absent, let code = Self.core(event.value, batch) else {
                hosts[host].annotations.append(AnnotationRow(timestamp: event.timestamp, value: event.value))
                continue
            }
            if code.kind != .unspecified { hosts[host].row.kind = code.kind }
            core[code.rawValue] = event
        }
        // A span with times and only its last event: the first one was when the span began.
        startFrom(.clientReceived, .clientSent)
        startFrom(.serverSent, .serverReceived)
    }

    private mutating func startFrom(_ end: Core, _ start: Core) {
        guard self[start] == nil, let last = self[end], row.timestamp != 0, row.duration != 0,
            row.timestamp &+ row.duration == last.timestamp
        else { return }
        core[start.rawValue] = Event(timestamp: row.timestamp, value: .empty, endpoint: last.endpoint)
    }

    private mutating func deriveTimes(_ batch: SpanBatch) {
        let start = self[.clientSent]
        let received = self[.serverReceived]
        if let start, let received {
            // In a span that both sides share, the client's is the longer.
            setTimes(start, self[.clientReceived], batch)
            let client = host(of: start.endpoint, batch)
            let server = otherHost(than: client, .client, received.endpoint, .server, sameAs: start.endpoint, batch)
            hosts[server].row.flags.insert(.shared)
            hosts[server].row.timestamp = received.timestamp
            if let sent = self[.serverSent] { hosts[server].row.duration = Self.difference(received.timestamp, sent.timestamp) }
            // One way: nobody knows how long it took.
            if self[.clientReceived] == nil, row.duration == 0 { hosts[client].row.duration = 0 }
        } else if let start, let end = self[.clientReceived] {
            setTimes(start, end, batch)
        } else if let received, let sent = self[.serverSent] {
            setTimes(received, sent, batch)
        } else {
            keepHalves()
        }
        // Version 1 has no flag for sharing: a server that leaves the time, or the duration of what it has ended, to another shares its
        // span.
        if start == nil, let received, row.timestamp == 0 || (self[.serverSent] != nil && row.duration == 0) {
            hosts[host(of: received.endpoint, batch)].row.flags.insert(.shared)
        }
        deriveMessagingTimes(batch)
    }

    /// Of a call only one end is known: it is kept as an event, and the span's own times are those of its first host.
    private mutating func keepHalves() {
        for index in hosts.indices {
            let isClient = hosts[index].row.kind == .client
            guard isClient || hosts[index].row.kind == .server else { continue }
            if let start = self[isClient ? .clientSent : .serverReceived] { hosts[index].row.timestamp = start.timestamp }
            if let end = self[isClient ? .clientReceived : .serverSent] {
                hosts[index].annotations.append(AnnotationRow(timestamp: end.timestamp, value: end.value))
            }
        }
        if row.timestamp != 0 {
            hosts[0].row.timestamp = row.timestamp
            hosts[0].row.duration = row.duration
        }
    }

    private mutating func deriveMessagingTimes(_ batch: SpanBatch) {
        let wireSent = self[.wireSent]
        let wireReceived = self[.wireReceived]
        switch (self[.messageSent], self[.messageReceived]) {
        case (let sent?, let received?):
            let producer = host(of: sent.endpoint, batch)
            let consumer = otherHost(than: producer, .producer, received.endpoint, .consumer, sameAs: sent.endpoint, batch)
            hosts[consumer].row.flags.insert(.shared)
            hosts[consumer].row.timestamp = wireReceived?.timestamp ?? received.timestamp
            if let wireReceived { hosts[consumer].row.duration = Self.difference(wireReceived.timestamp, received.timestamp) }
            hosts[producer].row.timestamp = sent.timestamp
            hosts[producer].row.duration = wireSent.map { Self.difference(sent.timestamp, $0.timestamp) } ?? 0
        case (let sent?, nil): setTimes(sent, wireSent, batch)
        case (nil, let received?):
            if let wireReceived { setTimes(wireReceived, received, batch) } else { setTimes(received, nil, batch) }
        case (nil, nil):
            for event in [wireSent, wireReceived] {
                guard let event else { continue }
                hosts[host(of: event.endpoint, batch)].annotations.append(AnnotationRow(timestamp: event.timestamp, value: event.value))
            }
        }
    }

    /// The host of the other side; a new one when both sides are the same service, which calls itself.
    private mutating func otherHost(
        than own: Int, _ kind: SpanKind, _ endpoint: UInt32, _ otherKind: SpanKind, sameAs ownEndpoint: UInt32, _ batch: SpanBatch
    ) -> Int {
        guard Self.haveSameName(ownEndpoint, endpoint, batch) else { return host(of: endpoint, batch) }
        hosts[own].row.kind = kind
        let other = addHost(endpoint)
        hosts[other].row.kind = otherKind
        return other
    }

    /// The span's own times where it has both, else those of its events.
    private mutating func setTimes(_ begin: Event, _ end: Event?, _ batch: SpanBatch) {
        let host = host(of: begin.endpoint, batch)
        if row.timestamp != 0, row.duration != 0 {
            hosts[host].row.timestamp = row.timestamp
            hosts[host].row.duration = row.duration
        } else {
            hosts[host].row.timestamp = begin.timestamp
            if let end { hosts[host].row.duration = Self.difference(begin.timestamp, end.timestamp) }
        }
    }

    private mutating func takeBinaryAnnotations(_ batch: inout SpanBatch) {
        var clientAddress = EndpointRow.absent
        var serverAddress = EndpointRow.absent
        var messageAddress = EndpointRow.absent
        for annotation in binaryAnnotations {
            let key = batch.string(annotation.key)
            if annotation.isTrue, annotation.endpoint != EndpointRow.absent, key == "ca" || key == "sa" || key == "ma" {
                switch key {
                case "ca": clientAddress = annotation.endpoint
                case "sa": serverAddress = annotation.endpoint
                default: messageAddress = annotation.endpoint
                }
                continue
            }
            let host = host(of: annotation.endpoint, batch)
            // Without a value it only says where the span was.
            if key == "lc", annotation.value.isEmpty { continue }
            hosts[host].tags.append(TagRow(key: annotation.key, value: annotation.value))
        }
        let server = self[.serverReceived] ?? self[.serverSent]
        let client = self[.clientSent] ?? self[.clientReceived]
        if server == nil, client == nil, clientAddress != EndpointRow.absent || serverAddress != EndpointRow.absent {
            if serverAddress == EndpointRow.absent {
                hosts[0].row.kind = .server
                hosts[0].row.remoteEndpoint = clientAddress
            } else {
                // A server's address alone makes no client: it is the usual way to name the other side.
                hosts[host(of: clientAddress, batch)].row.remoteEndpoint = serverAddress
            }
            return
        }
        if clientAddress != EndpointRow.absent, let server, !Self.areEqual(clientAddress, server.endpoint, batch) {
            if Self.haveSameName(clientAddress, server.endpoint, batch) {
                // Finagle names the server here; kept, the server would call itself.
                var address = batch.endpoints[Int(clientAddress)]
                address.serviceName = .empty
                clientAddress = UInt32(truncatingIfNeeded: batch.endpoints.count)
                batch.endpoints.append(address)
            }
            hosts[host(of: server.endpoint, batch)].row.remoteEndpoint = clientAddress
        }
        if serverAddress != EndpointRow.absent, let client { hosts[host(of: client.endpoint, batch)].row.remoteEndpoint = serverAddress }
        if messageAddress != EndpointRow.absent {
            for event in [self[.messageSent], self[.messageReceived]] {
                if let event { hosts[host(of: event.endpoint, batch)].row.remoteEndpoint = messageAddress }
            }
        }
    }

    private static func append(_ host: Host, to batch: inout SpanBatch) {
        var row = host.row
        if row.kind == .client { row.flags.remove(.shared) }
        row.tagStart = UInt32(truncatingIfNeeded: batch.tags.count)
        row.annotationStart = UInt32(truncatingIfNeeded: batch.annotations.count)
        batch.tags.append(contentsOf: host.tags)
        batch.annotations.append(contentsOf: host.annotations)
        SpanRows.finish(&row, &batch)
        batch.spans.append(row)
    }

    // MARK: Hosts and events

    private subscript(_ code: Core) -> Event? { core[code.rawValue] }

    /// The span of the host at `endpoint`: hosts are told apart by their names. An unknown one is the first.
    private mutating func host(of endpoint: UInt32, _ batch: SpanBatch) -> Int {
        guard endpoint != EndpointRow.absent else { return 0 }
        for index in hosts.indices {
            if hosts[index].row.localEndpoint == EndpointRow.absent { hosts[index].row.localEndpoint = endpoint }
            if Self.haveSameName(hosts[index].row.localEndpoint, endpoint, batch) { return index }
        }
        return addHost(endpoint)
    }

    private mutating func addHost(_ endpoint: UInt32) -> Int {
        guard hosts.count < Self.hostsMax else { return 0 }
        var host = Host(row: hosts[0].row)
        host.row.localEndpoint = endpoint
        host.row.remoteEndpoint = EndpointRow.absent
        host.row.kind = .unspecified
        host.row.timestamp = 0
        host.row.duration = 0
        host.row.flags.remove(.shared)
        hosts.append(host)
        return hosts.count - 1
    }

    private static func haveSameName(_ left: UInt32, _ right: UInt32, _ batch: SpanBatch) -> Bool {
        if left == right { return true }
        return isSameText(batch.endpoints[Int(left)].serviceName, batch.endpoints[Int(right)].serviceName, batch)
    }

    private static func areEqual(_ left: UInt32, _ right: UInt32, _ batch: SpanBatch) -> Bool {
        guard haveSameName(left, right, batch) else { return false }
        var address = batch.endpoints[Int(left)]
        address.serviceName = batch.endpoints[Int(right)].serviceName
        return address == batch.endpoints[Int(right)]
    }

    private static func isSameText(_ left: TextRef, _ right: TextRef, _ batch: SpanBatch) -> Bool {
        func bytes(_ text: TextRef) -> ArraySlice<UInt8> { batch.text[Int(text.offset)..<Int(text.offset) + Int(text.count)] }
        return left.count == right.count && bytes(left) == bytes(right)
    }

    private static func core(_ text: TextRef, _ batch: SpanBatch) -> Core? {
        guard text.count == 2 else { return nil }
        return switch (batch.text[Int(text.offset)], batch.text[Int(text.offset) + 1]) {
        case (UInt8(ascii: "c"), UInt8(ascii: "s")): .clientSent
        case (UInt8(ascii: "c"), UInt8(ascii: "r")): .clientReceived
        case (UInt8(ascii: "s"), UInt8(ascii: "r")): .serverReceived
        case (UInt8(ascii: "s"), UInt8(ascii: "s")): .serverSent
        case (UInt8(ascii: "m"), UInt8(ascii: "s")): .messageSent
        case (UInt8(ascii: "m"), UInt8(ascii: "r")): .messageReceived
        case (UInt8(ascii: "w"), UInt8(ascii: "s")): .wireSent
        case (UInt8(ascii: "w"), UInt8(ascii: "r")): .wireReceived
        default: nil
        }
    }

    /// Microseconds from one event to another; 0, which is unknown, when clocks say that the end came first.
    private static func difference(_ start: UInt64, _ end: UInt64) -> UInt64 { end > start ? end - start : 0 }
}

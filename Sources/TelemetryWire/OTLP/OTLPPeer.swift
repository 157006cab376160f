import TelemetryModel

/// Who was at the other side of a span, from the attributes that tell it: the remote endpoint of a CLIENT or PRODUCER span.
///
/// Candidates stand in the order of the specification's "OpenTelemetry to Zipkin Transformation" (Remote endpoint, ranks 1 to 11), with the
/// older `net.peer.ip` behind its successors. The first that the span has decides. What it leaves open, an address beside a name or a name
/// beside an address, comes from the next that has it; a database's name stands for the peer only where there is nothing else.
struct OTLPPeer: BitwiseCopyable {
    /// In order of rank, the ports behind.
    private enum Key: Int {
        case service, serverAddress, netPeerName, networkPeerAddress, serverSocketDomain, serverSocketAddress, netSockPeerName
        case netSockPeerAddress, netPeerIP, peerHostname, peerAddress, databaseName
        case serverPort, netPeerPort, networkPeerPort, serverSocketPort, netSockPeerPort

        /// The port that belongs to an address.
        var port: Key? {
            switch self {
            case .serverAddress: .serverPort
            case .netPeerName, .netPeerIP: .netPeerPort
            case .networkPeerAddress: .networkPeerPort
            case .serverSocketDomain, .serverSocketAddress: .serverSocketPort
            case .netSockPeerName, .netSockPeerAddress: .netSockPeerPort
            default: nil
            }
        }
    }

    /// A bit for each key seen; the values of others mean nothing.
    private var seen: UInt32 = 0
    private var values = InlineArray<17, TextRef>(repeating: .empty)

    @inline(__always)
    var isEmpty: Bool { seen == 0 }

    @inline(__always)
    mutating func removeAll() { seen = 0 }

    /// Lengths of the keys above, a bit each: what tells most attributes from them.
    @inline(__always)
    static func mayName(_ count: UInt32) -> Bool {
        let lengths: UInt64 = 1 << 7 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 18 | 1 << 20 | 1 << 21
        return count < 64 && lengths >> UInt64(count) & 1 == 1
    }

    /// Remembers `value` when `key`, whose length `mayName` has let pass, names a peer.
    mutating func note(_ key: UnsafeRawBufferPointer, _ value: TextRef) {
        func names(_ name: StaticString) -> Bool {
            guard key.count == name.utf8CodeUnitCount else { return false }
            for index in 0..<key.count where unsafe key[index] != name.utf8Start[index] { return false }
            return true
        }
        let found: Key?
        switch key.count {
        case 7: found = names("db.name") ? .databaseName : nil
        case 11: found = names("server.port") ? .serverPort : names("net.peer.ip") ? .netPeerIP : nil
        case 12: found = names("peer.service") ? .service : names("peer.address") ? .peerAddress : nil
        case 13:
            found =
                names("net.peer.name") ? .netPeerName : names("net.peer.port") ? .netPeerPort
                : names("peer.hostname") ? .peerHostname : nil
        case 14: found = names("server.address") ? .serverAddress : nil
        case 17: found = names("network.peer.port") ? .networkPeerPort : nil
        case 18:
            found =
                names("net.sock.peer.addr") ? .netSockPeerAddress : names("net.sock.peer.name") ? .netSockPeerName
                : names("net.sock.peer.port") ? .netSockPeerPort : names("server.socket.port") ? .serverSocketPort : nil
        case 20: found = names("network.peer.address") ? .networkPeerAddress : names("server.socket.domain") ? .serverSocketDomain : nil
        case 21: found = names("server.socket.address") ? .serverSocketAddress : nil
        default: found = nil
        }
        guard let found, !value.isEmpty else { return }
        values[found.rawValue] = value
        seen |= 1 << UInt32(found.rawValue)
    }

    /// The endpoint, its name in its own case; nil when nothing tells one.
    func endpoint(_ batch: SpanBatch) -> EndpointRow? {
        var row = EndpointRow()
        var decided: Key?
        var candidates = seen
        while candidates != 0, let key = Key(rawValue: candidates.trailingZeroBitCount), key.rawValue < Key.serverPort.rawValue {
            candidates &= candidates &- 1
            if key == .databaseName, decided != nil { break }
            let value = values[key.rawValue]
            if decided == nil { decided = key }
            switch key == .service ? nil : Self.address(value, batch, &row.port) {
            case .ipv4(let address) where !row.hasIPv4 && !row.hasIPv6:
                row.ipv4 = address
                row.hasIPv4 = true
            case .ipv6(let high, let low) where !row.hasIPv4 && !row.hasIPv6:
                row.ipv6High = high
                row.ipv6Low = low
                row.hasIPv6 = true
            case nil where row.serviceName.isEmpty: row.serviceName = value
            default: break
            }
        }
        guard let decided else { return nil }
        if let own = decided.port, let port = port(own, batch) {
            row.port = port
            return row
        }
        var ports = seen >> UInt32(Key.serverPort.rawValue)
        while ports != 0, let key = Key(rawValue: Key.serverPort.rawValue + ports.trailingZeroBitCount) {
            ports &= ports &- 1
            if let port = port(key, batch) {
                row.port = port
                break
            }
        }
        return row
    }

    private func port(_ key: Key, _ batch: SpanBatch) -> UInt16? {
        guard seen & 1 << UInt32(key.rawValue) != 0 else { return nil }
        return unsafe batch.text.withUnsafeBufferPointer { unsafe Self.port(values[key.rawValue].bytes(in: $0)) }
    }

    /// 1 to 65535.
    private static func port(_ digits: UnsafeBufferPointer<UInt8>) -> UInt16? {
        guard digits.count > 0, digits.count <= 5 else { return nil }
        var number: UInt32 = 0
        for index in 0..<digits.count {
            guard unsafe JSONScanner.isDigit(digits[index]) else { return nil }
            number = unsafe number &* 10 &+ UInt32(digits[index] &- 0x30)
        }
        return number > 0 ? UInt16(exactly: number) : nil
    }

    /// The address that `value` is, alone or with a port behind it; `port` is set when it is 0 and the value has one.
    private static func address(_ value: TextRef, _ batch: SpanBatch, _ port: inout UInt16) -> AddressText.Parsed? {
        unsafe batch.text.withUnsafeBufferPointer { text in
            let bytes = unsafe value.bytes(in: text)
            if let address = unsafe AddressText.parse(bytes) { return address }
            guard let colon = unsafe bytes.lastIndex(of: UInt8(ascii: ":")),
                let number = unsafe Self.port(UnsafeBufferPointer(rebasing: bytes[(colon + 1)...]))
            else { return nil }
            var host = unsafe bytes[..<colon]
            if unsafe host.first == UInt8(ascii: "["), unsafe host.last == UInt8(ascii: "]") { unsafe host = host.dropFirst().dropLast() }
            guard let address = unsafe AddressText.parse(UnsafeBufferPointer(rebasing: host)) else { return nil }
            if port == 0 { port = number }
            return address
        }
    }
}

extension TextRef {
    /// The text's bytes in the arena of its batch.
    fileprivate func bytes(in arena: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8> {
        unsafe UnsafeBufferPointer(rebasing: arena[Int(offset)..<Int(offset) + Int(count)])
    }
}

internal import HTTP
internal import Primitives

/// Why a look-up found no virtual host.
private enum NoVirtualHost {
    static let unknownName: Int32 = -1
    static let unknownPort: Int32 = -2
}

extension TableView {
    /// The index of the virtual host that a request names; nil = none.
    func findVirtualHost(_ listener: Int, _ request: RequestParts) -> Int? {
        let hostCount = min(request.host.hostCount, Authority.hostBytesMax)
        var found = NoVirtualHost.unknownName
        if hostCount > 0 {
            found = request.authority.prefix(hostCount).withLowercased { name in
                // A name may be written with the root's dot.
                let count = hostCount > 1 && name[hostCount - 1] == UInt8(ascii: ".") ? hostCount - 1 : hostCount
                return lookUp(listener, name.prefix(count), request.host.port)
            }
        }
        // Of a name that is known, a port that it lacks is nobody's: the rules for all other names are not the ones it was given.
        if found == NoVirtualHost.unknownName { found = rows.listeners[listener].fallback }
        return found < 0 ? nil : Int(found)
    }

    /// `host`: in lower case. Negative = a `NoVirtualHost`.
    func lookUp(_ listener: Int, _ host: LentBytes, _ port: UInt16) -> Int32 {
        let (start, mask) = (rows.listeners[listener].domainStart, rows.listeners[listener].domainMask)
        let hash = host.hash(seed: ByteHash.seed)
        var slot = UInt32(truncatingIfNeeded: hash) & mask
        while true {
            let entry = rows.domains[start + slot]
            if entry.name.isEmpty { break }
            if entry.hash == hash, bytes(entry.name) == host { return choosePort(entry.ports, port) }
            slot = (slot + 1) & mask
        }
        for index in rows.listeners[listener].wildcards.indices {
            let entry = rows.wildcards[index]
            let suffix = bytes(entry.suffix)
            if host.count > suffix.count, host.hasSuffix(suffix) { return choosePort(entry.ports, port) }
        }
        return NoVirtualHost.unknownName
    }

    /// The virtual host of a domain for the port that the client named; without one, port 80's, else the domain's first.
    private func choosePort(_ range: TableRange, _ port: UInt16) -> Int32 {
        let wanted = port == 0 ? 80 : port
        for index in range.indices {
            let entry = rows.ports[index]
            if entry.port == wanted || entry.port == 0 { return entry.virtualHost }
        }
        return port == 0 && range.count > 0 ? rows.ports[range.start].virtualHost : NoVirtualHost.unknownPort
    }
}

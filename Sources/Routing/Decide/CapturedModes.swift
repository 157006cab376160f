internal import Matching
internal import Primitives

extension TableView {
    /// What is spoken by a connection to an address that was captured; of any other listener, its own mode.
    func mode(_ listener: Int, _ dialled: SocketEndpoint) -> ListenerMode {
        guard rows.listeners[listener].isCapture else { return rows.listeners[listener].mode }
        let ports = rows.listeners[listener].capturedPorts
        var result = ListenerMode.detect
        let first = rows.capturedPorts.firstIndex(ports) { $0.port >= dialled.port }
        for place in first..<ports.indices.upperBound {
            let entry = rows.capturedPorts[place]
            guard entry.port == dialled.port else { break }
            if !entry.subnet.isAll, entry.subnet.contains(dialled) { return entry.mode }
            // A service without an address has its port on every address; two of different kinds leave it to the bytes.
            if entry.subnet.isAll { result = result == .detect || result == entry.mode ? entry.mode : .detect }
        }
        return result
    }
}

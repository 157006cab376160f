internal import MeshConfig
internal import Primitives

/// Addresses as they are written, for listeners and endpoints.
struct SocketAddresses {
    let draft: SnapshotBuilder

    /// Of an IP address or `unix://` path to listen on; nil, which is reported, when it is neither.
    func listening(on text: String, _ port: UInt16, _ position: SourcePosition, _ resource: ResourceID) -> SocketEndpoint? {
        if let endpoint = SocketEndpoint(address: text, port: port) { return endpoint }
        if let path = UnixAddress.path(text) { return unixSocket(path, position, resource, "bind") }
        draft.report(.error, "SKN0303", position, resource, "bind", "\"\(text)\" is no IP address; write one such as 127.0.0.1 or 0.0.0.0")
        return nil
    }

    func unixSocket(_ path: String, _ position: SourcePosition, _ resource: ResourceID, _ field: String) -> SocketEndpoint? {
        do throws(UnixPathTable.Refusal) {
            return try SocketEndpoint(unixPath: path)
        } catch {
            draft.report(.error, "SKN0317", position, resource, field, "the socket \"\(path)\" cannot be used: \(error)")
            return nil
        }
    }
}

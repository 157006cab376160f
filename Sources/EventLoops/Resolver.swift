internal import CSystem
public import Primitives
internal import Glibc

/// Blocking DNS, for threads that may block: never call it from a loop.
public enum Resolver {
    /// Addresses kept per name.
    public static let addressesMax = 64

    /// The addresses of `host`, IPv4 first, each once, with `port`; or why there are none.
    public static func addresses(of host: String, port: UInt16) -> Result<[SocketEndpoint], ResolveError> {
        if let literal = SocketEndpoint(address: host, port: port) { return .success([literal]) }
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = unsafe getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else { return unsafe .failure(ResolveError(host: host, reason: String(cString: gai_strerror(code)))) }
        defer { unsafe freeaddrinfo(list) }
        var found: [SocketEndpoint] = []
        var next = unsafe list
        while let entry = unsafe next, found.count < addressesMax {
            var storage = sockaddr_storage()
            if let address = unsafe entry.pointee.ai_addr {
                let length = unsafe min(Int(entry.pointee.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
                unsafe withUnsafeMutableBytes(of: &storage) {
                    unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: length))
                }
                let endpoint = Socket.endpoint(from: storage).with(port: port)
                if endpoint.family != .absent, !found.contains(endpoint) { found.append(endpoint) }
            }
            unsafe next = entry.pointee.ai_next
        }
        guard !found.isEmpty else { return .failure(ResolveError(host: host, reason: "no address")) }
        return .success(found.filter { $0.family == .ipv4 } + found.filter { $0.family == .ipv6 })
    }
}

public struct ResolveError: Error, CustomStringConvertible {
    public let host: String
    public let reason: String
    public var description: String { "cannot resolve \(host): \(reason)" }
}

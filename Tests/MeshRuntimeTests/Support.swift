import EventLoops
import Glibc
import HTTP
@testable import MeshRuntime
import MeshConfig
import Primitives
import Proxy
import Routing
import Synchronization
import TelemetryModel
import Testing

/// Waits until `condition` holds; the deadline is far beyond what a busy machine needs.
func eventually(_ what: Comment, within seconds: Double = 20, _ condition: () -> Bool) {
    let end = SystemClock.monotonicNow() + UInt64(seconds * 1e9)
    while !condition() {
        guard SystemClock.monotonicNow() < end else {
            Issue.record(what)
            return
        }
        sched_yield()
        _ = poll(nil, 0, 1)
    }
}

let loopback = SocketEndpoint(ipv4: 0x7F00_0001, port: 0)

/// A port that nobody has at this moment.
func freePort() throws -> UInt16 {
    let fd = try Socket.listen(on: loopback, reusePort: false)
    defer { Socket.close(fd) }
    return Socket.localEndpoint(fd).port
}

/// A directory of one test, removed with it.
final class TemporaryDirectory {
    let path: String

    init() {
        var template = Array("/tmp/skein-runtime-XXXXXX".utf8CString)
        path = unsafe template.withUnsafeMutableBufferPointer { buffer in
            unsafe String(cString: mkdtemp(buffer.baseAddress.unsafelyUnwrapped))
        }
    }

    deinit {
        if let directory = unsafe opendir(path) {
            while let entry = unsafe readdir(directory) {
                let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) {
                    unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name != ".", name != ".." { remove(name) }
            }
            unsafe closedir(directory)
        }
        unsafe rmdir(path)
    }

    func file(_ name: String) -> String { path + "/" + name }

    /// Writes within the file that is there, or a new one.
    func write(_ name: String, _ text: String, appends: Bool = false) {
        let fd = unsafe open(file(name), O_WRONLY | O_CREAT | (appends ? O_APPEND : O_TRUNC), 0o644)
        defer { close(fd) }
        let bytes = Array(text.utf8)
        let written = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(fd, $0.baseAddress, $0.count) }
        precondition(written == bytes.count)
    }

    /// Puts another file in its place, as editors and mounted volumes do.
    func replace(_ name: String, _ text: String) {
        write("." + name + ".new", text)
        unsafe rename(file("." + name + ".new"), file(name))
    }

    func remove(_ name: String) { unsafe unlink(file(name)) }
}

/// Istio resources as texts.
enum YAML {
    static func resource(_ kind: String, _ name: String, _ spec: String) -> String {
        let body = spec.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }.joined(separator: "\n")
        return "apiVersion: networking.istio.io/v1\nkind: \(kind)\nmetadata: {name: \(name), namespace: default}\nspec:\n\(body)\n---\n"
    }

    /// A service with static endpoints.
    static func service(_ host: String, port: Int = 80, endpoints: [String] = ["10.0.0.1"], endpointPort: UInt16? = nil) -> String {
        let target = endpointPort.map { ", ports: {http-\(port): \($0)}" } ?? ""
        let list = endpoints.map { "- {address: \($0), labels: {version: v1}\(target)}" }.joined(separator: "\n")
        return resource(
            "ServiceEntry", host.split(separator: ".").joined(separator: "-"),
            "hosts: [\(host)]\nlocation: MESH_INTERNAL\nresolution: STATIC\nports:\n"
                + "- {number: \(port), name: http-\(port), protocol: HTTP}\nendpoints:\n\(list)")
    }

    static func workload(_ name: String, address: String = "127.0.0.1") -> String {
        resource("WorkloadEntry", name, "address: \(address)\nlabels: {app: \(name)}\nports: {http: 9080}")
    }

    /// Something that the routing compiler refuses.
    static let broken = resource("VirtualService", "broken", "hosts: [reviews]\nhttp:\n- route:\n  - destination: {}")
}

/// Compiles a text for a listener; the texts of these tests have no errors.
func compile(
    _ yaml: String, catalogs: Catalogs = Catalogs(), generation: UInt64 = 1,
    outbound: SocketEndpoint? = SocketEndpoint(ipv4: 0x7F00_0001, port: 15001)
) throws -> RoutingSnapshot {
    let (mesh, list) = MeshConfiguration.load(texts: [(name: "t.yaml", text: yaml)])
    try #require(!list.hasErrors, "\(list.items.map(\.text))")
    var inputs = CompileInputs(node: NodeIdentity(), catalogs: catalogs)
    inputs.outboundListener = outbound
    inputs.generation = generation
    let (snapshot, problems) = RouteCompiler.compile(mesh, inputs)
    try #require(!problems.contains { $0.severity == .error }, "\(problems.map(\.text))")
    return snapshot
}

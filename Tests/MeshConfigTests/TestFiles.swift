import Glibc
import MeshConfig

/// Paths of the repository, found from this file's own.
enum TestFiles {
    static let root: String = {
        let parts = #filePath.split(separator: "/").dropLast(3)
        return "/" + parts.joined(separator: "/")
    }()

    static func load(_ text: String) -> (MeshConfiguration, DiagnosticList) {
        MeshConfiguration.load(texts: [(name: "t.yaml", text: text)])
    }

    /// `spec` lines are indented by two for you.
    static func resource(_ kind: String, _ spec: String, name: String = "x", namespace: String = "default") -> String {
        let group =
            switch kind {
            case "Telemetry": "telemetry.istio.io/v1"
            case "IstioOperator": "install.istio.io/v1alpha1"
            case "WasmPlugin", "TrafficExtension": "extensions.istio.io/v1alpha1"
            case "PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication": "security.istio.io/v1"
            default: "networking.istio.io/v1"
            }
        let body = spec.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }.joined(separator: "\n")
        return "apiVersion: \(group)\nkind: \(kind)\nmetadata:\n  name: \(name)\n  namespace: \(namespace)\nspec:\n\(body)\n"
    }

    static func read(_ path: String) -> String? {
        guard let file = unsafe fopen(path, "r") else { return nil }
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = unsafe fread(&chunk, 1, chunk.count, file)
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func write(_ text: String, to path: String) {
        guard let file = unsafe fopen(path, "w") else { return }
        unsafe fputs(text, file)
        unsafe fclose(file)
    }

    static func names(in directory: String) -> [String] {
        guard let handle = unsafe opendir(directory) else { return [] }
        defer { unsafe closedir(handle) }
        var names: [String] = []
        while let entry = unsafe readdir(handle) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    /// Paths of all Swift files below a directory.
    static func sources(below directory: String) -> [String] {
        names(in: directory).flatMap { name in
            name.hasSuffix(".swift") ? ["\(directory)/\(name)"] : sources(below: "\(directory)/\(name)")
        }
    }
}

extension DiagnosticList {
    /// `code field` of each, for short expectations.
    var short: [String] { items.map { "\($0.code) \($0.field)" } }
    var errors: [Diagnostic] { items.filter { $0.severity == .error } }
}

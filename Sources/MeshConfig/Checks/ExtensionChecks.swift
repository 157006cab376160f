/// Istio's rules for what extends a proxy: WasmPlugin and TrafficExtension. Neither runs here; both are checked, so that a mistake shows
/// before a cluster sees it.
struct ExtensionChecks {
    let findings: Findings

    func check(wasmPlugin spec: NodeReader) {
        NameChecks(findings: findings).check(attachmentOf: spec)
        check(module: spec)
        check(trafficOf: spec)
    }

    func check(trafficExtension spec: NodeReader) {
        NameChecks(findings: findings).check(attachmentOf: spec)
        check(trafficOf: spec)
        if !spec.has("wasm"), !spec.has("lua") { findings.error(spec.position, "spec", "one of wasm or lua is required") }
        if let module = spec.child("wasm") { check(module: module) }
        if let lua = spec.child("lua") { findings.require(lua, "inlineCode", "the script") }
    }

    private func check(module: NodeReader) {
        findings.require(module, "url", "of the module: oci://, https://, http:// or file://")
        if let url = module.string("url"), let scheme = url.text(before: "://"), !["oci", "https", "http", "file"].contains(scheme) {
            findings.error(
                module.position("url"), "\(module.path).url",
                "\"\(url.prefix(128))\" is not accepted; oci://, https://, http:// or file://")
        }
        if let digest = module.string("sha256"), !digest.isEmpty {
            let isHex = digest.utf8.count == 64 && digest.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
            if !isHex { findings.error(module.position("sha256"), "\(module.path).sha256", "not a SHA-256 digest: 64 digits 0-9 a-f") }
        }
        for (name, limit) in [("imagePullSecret", 253), ("pluginName", 256)] {
            guard let text = module.string(name) else { continue }
            if text.isEmpty || text.utf8.count > limit {
                findings.error(
                    module.position(name), "\(module.path).\(name)", "1 to \(limit) bytes are accepted; leave it out if there is none")
            }
        }
        var names: Set<String> = []
        for variable in module.child("vmConfig")?.children("env") ?? [] {
            findings.require(variable, "name", "of the variable")
            if let name = variable.string("name"), !name.isEmpty, !names.insert(name).inserted {
                findings.error(variable.position("name"), "\(variable.path).name", "variable \"\(name.prefix(64))\" is set twice")
            }
            if variable.name("valueFrom") == "HOST", variable.string("value")?.isEmpty == false {
                findings.error(
                    variable.position("value"), "\(variable.path).value",
                    "valueFrom HOST takes the proxy's own variable; delete value, or valueFrom")
            }
        }
    }

    private func check(trafficOf spec: NodeReader) {
        for port in spec.children("match").flatMap({ $0.children("ports") }) where !port.has("number") {
            findings.error(port.position, port.path, "number is required: 1 to 65535")
        }
    }
}

extension String {
    /// What comes before a separator; nil where there is none.
    fileprivate func text(before separator: String) -> String? {
        let parts = split(separator: separator, maxSplits: 1, omittingEmptySubsequences: false)
        return parts.count == 2 ? String(parts[0]) : nil
    }
}

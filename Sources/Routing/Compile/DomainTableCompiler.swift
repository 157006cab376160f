internal import Primitives

/// The names of a listener's virtual hosts.
struct DomainTableCompiler {
    typealias Domain = (name: String, ports: [PortEntry])

    let draft: SnapshotBuilder

    /// Appends a listener's domain table: at most half full, so that probes stay short. Names: `example.com`, `*.example.com`, `*`.
    func add(_ domains: [Domain], to listener: inout ListenerEntry) {
        addExact(domains.filter { !$0.name.hasPrefix("*") }, to: &listener)
        let wildcards = domains.filter { $0.name.hasPrefix("*") && $0.name != "*" }.sorted { $0.name.utf8.count > $1.name.utf8.count }
        let entries = wildcards.map { domain in
            let ports = draft.ports.add(contentsOf: domain.ports)
            return WildcardEntry(suffix: draft.text.add(text: String(domain.name.dropFirst())), ports: ports)
        }
        listener.wildcards = draft.wildcards.add(contentsOf: entries)
        if let all = domains.first(where: { $0.name == "*" }), let port = all.ports.first { listener.fallback = port.virtualHost }
    }

    private func addExact(_ domains: [Domain], to listener: inout ListenerEntry) {
        var slots = 2
        while slots < domains.count * 2 { slots *= 2 }
        let table = draft.domains.add(contentsOf: repeatElement(DomainEntry(), count: slots))
        listener.domainStart = table.start
        listener.domainMask = UInt32(slots - 1)
        for domain in domains {
            let name = draft.text.add(text: domain.name)
            let hash = draft.text.withBytes(name) { $0.hash(seed: ByteHash.seed) }
            var slot = UInt32(truncatingIfNeeded: hash) & listener.domainMask
            while !draft.domains[Int(table.start + slot)].name.isEmpty { slot = (slot + 1) & listener.domainMask }
            draft.domains[Int(table.start + slot)] = DomainEntry(hash: hash, name: name, ports: draft.ports.add(contentsOf: domain.ports))
        }
    }
}

internal import Primitives

/// Rules of ports, and of what they are bound to, wherever a resource has some.
struct PortChecks {
    let findings: Findings

    func check(protocolOf port: NodeReader) {
        guard let name = port.string("protocol"), !name.isEmpty else { return }
        let accepted = ServicePort.ApplicationProtocol.allCases.map(\.rawValue).filter { !$0.isEmpty }
        if accepted.contains(name.uppercased()) { return }
        if name.uppercased() == "UDP" {
            findings.warn(port.position("protocol"), "\(port.path).protocol", "UDP is not proxied")
            return
        }
        var text = "protocol \"\(name)\" is not accepted; one of \(accepted.joined(separator: ", "))"
        if let nearest = EditDistance.nearest(to: name, among: accepted) { text += ". Did you mean \(nearest)?" }
        findings.error(port.position("protocol"), "\(port.path).protocol", text, code: .unknownEnumValue)
    }

    /// `ports` of an endpoint: names of service ports and numbers.
    func check(portsOf endpoint: NodeReader) {
        for (name, entry) in endpoint.entries("ports") {
            if let problem = ObjectName.labelProblem(name) {
                findings.error(entry.position, entry.path, "port name \"\(name.prefix(64))\" \(problem)")
            }
            if let number = entry.node.scalar.flatMap(NodeReader.integer), !(1...65535).contains(number) {
                findings.error(entry.position, entry.path, "port \"\(name)\" is \(number); accepted: 1 to 65535", code: .outOfRange)
            }
        }
    }

    /// Of a listener on a Unix socket.
    func check(numberOfSocket port: NodeReader) {
        guard let number = port.integer("number"), number != 0 else { return }
        findings.error(
            port.position("number"), "\(port.path).number", "\(number) with a Unix socket as bind, which has no port: write 0",
            code: .outOfRange)
    }

    /// The address that a listener or server opens its port at.
    func check(bindOf listener: NodeReader, unixAllowed: Bool) {
        guard let bind = listener.string("bind"), !bind.isEmpty else { return }
        if unixAllowed, bind.hasPrefix(UnixAddress.prefix) {
            if let problem = UnixAddress.problem(bind) { findings.error(listener.position("bind"), "\(listener.path).bind", problem) }
            return
        }
        if IPAddress.family(bind) != nil { return }
        findings.error(
            listener.position("bind"), "\(listener.path).bind", "\"\(bind)\" is not an IP address\(unixAllowed ? " or unix:///path" : "")")
    }
}

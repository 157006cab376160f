/// Istio's rules for a WorkloadGroup: the template of WorkloadEntries, and how their health is asked for.
struct WorkloadGroupChecks {
    let findings: Findings

    func check(workloadGroup spec: NodeReader) {
        guard let template = spec.child("template") else {
            findings.error(
                spec.position, "spec.template", "template is required: what the WorkloadEntries of the group have in common, {} at least")
            return
        }
        if let metadata = spec.child("metadata") { NameChecks(findings: findings).check(labelsOf: metadata, "labels") }
        NameChecks(findings: findings).check(labelsOf: template, "labels")
        PortChecks(findings: findings).check(portsOf: template)
        if let probe = spec.child("probe") { check(probe: probe) }
    }

    private func check(probe: NodeReader) {
        for name in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
            findings.range(probe, name, 0...Int64(Int32.max))
        }
        if !["httpGet", "tcpSocket", "exec", "grpc"].contains(where: probe.has) {
            findings.error(probe.position, probe.path, "one of httpGet, tcpSocket, exec or grpc is required")
        }
        if let http = probe.child("httpGet") {
            checkPort(http)
            if let scheme = http.string("scheme"), !["", "HTTP", "HTTPS"].contains(scheme) {
                findings.error(http.position("scheme"), "\(http.path).scheme", "\"\(scheme.prefix(64))\" is not accepted; HTTP or HTTPS")
            }
            for header in http.children("httpHeaders") {
                let name = header.string("name") ?? ""
                if let problem = HeaderChecks.fieldNameProblem(name) {
                    findings.error(header.position("name"), "\(header.path).name", "header name \"\(name.prefix(64))\" \(problem)")
                }
            }
        }
        if let tcp = probe.child("tcpSocket") { checkPort(tcp) }
        if let grpc = probe.child("grpc"), grpc.has("port") { checkPort(grpc) }
        if let exec = probe.child("exec"), exec.isEmptyList("command") {
            findings.error(exec.position, "\(exec.path).command", "command is required: the program and its arguments")
        }
    }

    private func checkPort(_ reader: NodeReader) {
        if !reader.has("port") { findings.error(reader.position, "\(reader.path).port", "port is required: 1 to 65535") }
        findings.range(reader, "port", 1...65535)
    }
}

/// What the fields of an UpstreamPolicy may hold.
struct UpstreamPolicyChecks {
    let findings: Findings

    func check(upstreamPolicy spec: NodeReader) {
        findings.require(spec, "host", "the service the policy is for")
        findings.host(spec, "host", wildcard: true)
        if let check = spec.child("healthCheck") {
            findings.duration(check, "interval", zeroAllowed: false)
            findings.duration(check, "timeout", zeroAllowed: false)
            findings.duration(check, "intervalJitter", zeroAllowed: true)
            if let interval = check.nanoseconds("interval"), interval > 0, interval < 100_000_000 {
                findings.error(
                    check.position("interval"), "\(check.path).interval", "must be at least 100ms, so that probes do not become the load")
            }
            if !check.has("http"), !check.has("tcp") {
                findings.error(check.position, check.path, "http or tcp is required: what a probe does")
            }
            if let http = check.child("http") {
                for text in http.strings("expectedStatuses") where UpstreamPolicy.HealthCheck.statuses(text) == nil {
                    findings.error(
                        http.position("expectedStatuses"), "\(http.path).expectedStatuses",
                        "\"\(text)\" is no status or range; write 200 or 200-299")
                }
                if let path = http.string("path"), !path.hasPrefix("/") || path.utf8.contains(where: { $0 <= 32 || $0 == 127 }) {
                    findings.error(
                        http.position("path"), "\(http.path).path", "must begin with / and have neither spaces nor control characters")
                }
                if let name = http.string("host"), name.utf8.contains(where: { $0 <= 32 || $0 == 127 }) {
                    findings.error(http.position("host"), "\(http.path).host", "must have neither spaces nor control characters")
                }
            }
            findings.range(check, "port", 1...65535)
        }
        for (name, fields) in [("successRate", ["enforcing"]), ("failurePercentage", ["enforcing", "threshold"])] {
            guard let detector = spec.child("outlierDetection")?.child(name) else { continue }
            for field in fields { findings.range(detector, field, 0...100, " (percent)") }
            if let factor = detector.double("stdevFactor"), !(0...1000).contains(factor) {
                findings.error(detector.position("stdevFactor"), "\(detector.path).stdevFactor", "must be between 0 and 1000")
            }
        }
    }
}

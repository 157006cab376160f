/// What the fields of a MeshOutlierDetection may hold.
struct MeshOutlierChecks {
    let findings: Findings

    func check(meshOutlierDetection spec: NodeReader) {
        findings.require(spec, "host", "the service whose endpoints are judged")
        findings.host(spec, "host", wildcard: true)
        findings.duration(spec, "interval", zeroAllowed: false)
        findings.duration(spec, "baseEjectionTime", zeroAllowed: false)
        findings.range(spec, "maxEjectionPercent", 1...100, " (percent)")
        findings.range(spec, "minHealthPercent", 0...100, " (percent)")
        findings.range(spec, "minimumReporters", 1...4096)
        if let rate = spec.child("errorRate") {
            findings.range(rate, "threshold", 1...100, " (percent)")
            findings.range(rate, "minimumVolume", 1...Int64(Int32.max))
            findings.range(rate, "windows", 1...Int64(MeshOutlierDetection.ErrorRate.windowsMax))
        }
        if let latency = spec.child("latency") {
            if let factor = latency.double("factor"), !(factor > 1 && factor <= MeshOutlierDetection.Latency.factorMax) {
                findings.error(
                    latency.position("factor"), "\(latency.path).factor",
                    "must be above 1 and at most \(Int(MeshOutlierDetection.Latency.factorMax))")
            }
            findings.duration(latency, "minimum", zeroAllowed: true)
            findings.range(latency, "minimumVolume", 1...Int64(Int32.max))
            findings.range(latency, "minimumPeers", 1...1000)
            findings.range(latency, "windows", 1...Int64(MeshOutlierDetection.Latency.windowsMax))
        }
    }
}

// Mesh-wide outlier detection in figures: `OutlierBench reports [PROXIES ENDPOINTS]`, `part [ENDPOINTS]`, `attempts`, `converge [RUNS]`,
// `healthy [WINDOWS SEED]`. One JSON object a line; `part` writes the bytes of a report's part 1 (docs/formats/report.md), which
// Tools/bench sends to a collector.

import Glibc

func number(_ place: Int, _ fallback: Int) -> Int {
    CommandLine.arguments.count > place ? Int(CommandLine.arguments[place]) ?? fallback : fallback
}

switch CommandLine.arguments.dropFirst().first ?? "reports" {
case "reports": ReportCosts(proxies: number(2, 200), endpoints: number(3, 1_000)).run()
case "part":
    let bytes = ReportCosts(proxies: 1, endpoints: number(2, 1_000)).part()
    _ = unsafe bytes.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
case "attempts": ReportCosts.attempts()
case "converge":
    let times = (1...UInt64(number(2, 200))).map { Convergence.run(seed: $0) }
    let sorted = times.compactMap { $0 }.sorted()
    print(
        "{\"proxies\": \(Convergence.proxies), \"runs\": \(times.count), \"converged\": \(sorted.count), "
            + "\"median_s\": \(sorted[sorted.count / 2]), \"longest_s\": \(sorted.last ?? 0)}")
case "healthy":
    for kind in HealthyTraffic.Kind.allCases {
        var traffic = HealthyTraffic(kind, seed: UInt64(number(3, 1)))
        let (wrong, suspicions) = traffic.run(windows: number(2, 100_000))
        print("{\"traffic\": \"\(kind.rawValue)\", \"windows\": \(number(2, 100_000)), \"wrong\": \(wrong), \"suspicions\": \(suspicions)}")
    }
default:
    print("OutlierBench reports [PROXIES ENDPOINTS] | part [ENDPOINTS] | attempts | converge [RUNS] | healthy [WINDOWS SEED]")
    exit(64)
}

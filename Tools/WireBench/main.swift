// Measures the codecs of TelemetryWire on one core: `swift run -c release WireBench [zipkin|refused|otlp|log|metrics]`.
//
// Each line says what one unit costs and prints a checksum, so that nothing measured can be optimised away.
import TelemetryModel
import TelemetryWire

let clock = ContinuousClock()

/// The best of a few rounds, in nanoseconds for one unit of work; printed and returned.
@discardableResult
func measure(_ name: String, units: Int, bytesPerUnit: Int = 0, rounds: Int = 7, _ body: () -> Int) -> Double {
    var best = Double.infinity
    var checksum = 0
    for _ in 0..<rounds {
        let elapsed = clock.measure { checksum &+= body() }
        let nanoseconds = Double(elapsed.components.seconds) * 1e9 + Double(elapsed.components.attoseconds) / 1e9
        best = min(best, nanoseconds / Double(units))
    }
    var line = "\(name): \(Int(best + 0.5)) ns each"
    if bytesPerUnit > 0 { line += ", \(Int(Double(bytesPerUnit) / best * 1e3)) MB/s (\(bytesPerUnit) bytes each)" }
    print(line + ", checksum \(checksum)")
    return best
}

let only = CommandLine.arguments.dropFirst().first
if only == nil || only == "zipkin" { benchZipkin() }
if only == nil || only == "refused" { benchRefusedSpans() }
if only == nil || only == "otlp" { benchOTLP() }
if only == nil || only == "log" { benchAccessLog() }
if only == nil || only == "metrics" { benchMetrics() }

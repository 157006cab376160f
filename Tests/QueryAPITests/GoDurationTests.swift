@testable import QueryAPI
import Testing

/// Durations as Grafana passes on what a user typed.
struct GoDurationTests {
    @Test(arguments: [
        ("0", 0.0), ("1ns", 1), ("1.5s", 1.5e9), ("100ms", 1e8), ("2h45m", 9.9e12), ("100us", 1e5), ("3µs", 3e3), ("1h0m1s", 3.601e12),
        ("2d", 1.728e14), (".5s", 5e8),
    ])
    func reads(_ text: String, _ nanoseconds: Double) { #expect(GoDuration.nanoseconds(text) == nanoseconds) }

    @Test(arguments: ["", "5", "s", "-1s", "1 s", "1.2.3s", "1parsec", "99999999999y", "1e3s", "nan", "infs", "1s5", "\u{661}s"])
    func refuses(_ text: String) { #expect(GoDuration.nanoseconds(text) == nil) }
}

import Testing

@testable import QueryAPI

/// Times that Grafana, promtool and people write. One that is misread shows another hour, in silence.
@Suite struct PrometheusTimeTests {
    @Test(arguments: [
        ("0", 0), ("1435781451.781", 1_435_781_451_781), ("-1.5", -1500), ("1e3", 1_000_000),
        ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
        ("2015-07-01T20:10:51Z", 1_435_781_451_000), ("2015-07-01T22:10:51.7812+02:00", 1_435_781_451_781), ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.5Z", -500), ("2000-02-29T00:00:00Z", 951_782_400_000), ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("-292273086-05-16T16:47:06Z", PrometheusTime.earliest), ("292277025-08-18T07:12:54.999999999Z", PrometheusTime.latest),
    ] as [(String, Int64)])
    func readsTimes(_ text: String, _ milliseconds: Int64) { #expect(PrometheusTime.milliseconds(text) == milliseconds) }

    @Test(arguments: [
        "", "foo", "NaN", "Inf", "1e300", "2015-07-01", "2015-13-01T00:00:00Z", "2015-02-29T00:00:00Z", "2015-07-01T24:00:00Z",
        "2015-07-01T20:10:51", "2015-07-01T20:10:51.Z", "2015-07-01T20:10:51+2:00", " 1", "2015-07-01T20:10:51Zx",
    ])
    func refusesWhatIsNoTime(_ text: String) { #expect(PrometheusTime.milliseconds(text) == nil) }

    @Test(arguments: [
        ("15", 15_000), ("0.5", 500), ("15s", 15_000), ("1m", 60_000), ("1h30m", 5_400_000),
        ("1d", 86_400_000), ("5ms", 5), ("1w2d", 777_600_000),
        ("1y", 31_536_000_000), ("0", 0), ("-1", -1000),
    ] as [(String, Int64)])
    func readsLengths(_ text: String, _ milliseconds: Int64) { #expect(PrometheusTime.length(text) == .milliseconds(milliseconds)) }

    @Test(arguments: ["", "s", "1x", "1m1h", "1s1s", "h1", "1.5h", "99999999999999999999y", "foo"])
    func refusesWhatIsNoLength(_ text: String) { #expect(PrometheusTime.length(text) == .none) }

    @Test func saysThatALengthIsTooLong() { #expect(PrometheusTime.length("1e20") == .overflow) }

    @Test(arguments: [
        ("U__a_2e_b", "a.b"), ("U__a__b", "a_b"), ("plain", "plain"), ("U__bad_zz_", "U__bad_zz_"), ("U___1F600_", "\u{1F600}"), ("U__", ""),
    ])
    func namesAreUnescaped(_ escaped: String, _ name: String) { #expect(EscapedName.decode(escaped) == name) }
}

import PromQL
import Testing

@Suite struct PrinterTests {
    @Test func whatIsPrintedParsesToTheSame() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var query = RandomQuery(draw: Draw(seed: seed))
        for _ in 0..<2_000 {
            let text = query.vector(4)
            let printed = Printer.text(of: try Parser.parse(text))
            #expect(printed == text, "seed \(seed)")
            let pretty = PrettyPrinter.text(of: try Parser.parse(text))
            #expect(Printer.text(of: try Parser.parse(pretty)) == text, "seed \(seed): \(pretty)")
            if printed != text { break }
        }
    }

    /// What people write, and its canonical form.
    @Test(arguments: [
        ("sum(a)by(x)", "sum by (x) (a)"), ("sum without() (a)", "sum without () (a)"), ("sum by () (a)", "sum(a)"),
        ("a+b*c", "a + b * c"), ("a / on(x)group_left b", "a / on (x) group_left () b"), ("a and ignoring() b", "a and b"),
        ("a[90s] offset 1h", "a[1m30s] offset 1h"), ("a[300]", "a[5m]"), ("a offset -90s @ 5", "a @ 5.000 offset -1m30s"),
        ("{'x y', b=~'c'}", "{__name__=\"x y\",b=~\"c\"}"), ("{\"up\"}", "{__name__=\"up\"}"), ("1_000", "1000"), ("0x10", "16"),
        ("1e3", "1000"), (".5", "0.5"), ("inf", "+Inf"), ("- 1", "-1"), ("90s", "1m30s"), ("`a\\b`", "\"a\\\\b\""), ("a # comment\n", "a"),
        ("Sum(A)", "sum(A)"), ("max_over_time(a[5m:])", "max_over_time(a[5m:])"), ("a{b=\"c\",}", "a{b=\"c\"}"),
    ])
    func canonicalForm(text: String, printed: String) throws {
        #expect(Printer.text(of: try Parser.parse(text)) == printed)
    }

    @Test func longQueriesGetLines() throws {
        let text = """
            sum by (destination_service) (rate(requests_total{reporter="destination"}[5m])) / on (destination_service) \
            sum by (destination_service) (rate(all_requests_total[5m]))
            """
        #expect(PrettyPrinter.text(of: try Parser.parse(text)) == """
              sum by (destination_service) (rate(requests_total{reporter="destination"}[5m]))
            / on (destination_service)
              sum by (destination_service) (rate(all_requests_total[5m]))
            """)
        let rates = "rate(request_duration_bucket{code!=\"500\"}[5m])"
        let call = "histogram_quantile(0.9, sum by (le, destination_service, source_service) (\(rates)))"
        #expect(PrettyPrinter.text(of: try Parser.parse(call)) == """
            histogram_quantile(
              0.9,
              sum by (le, destination_service, source_service) (rate(request_duration_bucket{code!="500"}[5m]))
            )
            """)
    }
}

@testable import skein
import Testing

/// What options of `skein traces` are in TraceQL.
struct TraceSelectorTests {
    private func text(_ change: (inout TraceSelector) -> Void) throws -> String {
        var selector = TraceSelector()
        change(&selector)
        return try selector.text()
    }

    @Test func optionsAreConditionsOnOneSpan() throws {
        #expect(
            try text {
                $0.service = "web"
                $0.span = "get \"/\" \\"
                $0.tags = ["a b=c=d", "e"]
                $0.status = "error"
                $0.min = "1.5ms"
                $0.max = "2s"
            } == #"{ resource.service.name = "web" && name = "get \"/\" \\" && ."a b" = "c=d" && ."e" != nil && status = error "#
                + "&& duration >= 1500us && duration <= 2000000us }")
        #expect(
            try text { $0.status = "5xx" }
                == "{ ((.http.status_code >= 500 && .http.status_code <= 599) || "
                + "(.http.response.status_code >= 500 && .http.response.status_code <= 599)) }")
        #expect(try text { $0.selector = "{} || {}" } == "{} || {}")
        #expect(
            try text {
                $0.selector = "{} || {}"
                $0.status = "ok"
            } == "{ status = ok } && ({} || {})")
    }

    @Test(arguments: ["sometimes", "99", "600", "6xx", "", "xxx", "0xx"])
    func aStatusThatIsNoneIsRefused(_ status: String) {
        #expect(throws: TraceSelector.Problem.self) { try text { $0.status = status } }
    }
}

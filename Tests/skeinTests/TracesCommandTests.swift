@testable import skein
import Testing

@Suite struct TracesCommandTests {
    /// Nothing found for a name mistyped looks like nothing happened.
    @Test func namesTheServicesThereAre() {
        #expect(
            TracesCommand.unknownServiceNote("review", among: ["details", "reviews"]) == "no service review; there are details, reviews")
        #expect(TracesCommand.unknownServiceNote("Reviews", among: ["details", "reviews"]) == nil)
        #expect(TracesCommand.unknownServiceNote("x", among: [])?.contains("no spans") == true)
        let many = (0..<50).map { "s\($0)" }
        #expect(TracesCommand.unknownServiceNote("x", among: many)?.hasSuffix("s29 and 20 more") == true)
    }
}

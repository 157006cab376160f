@testable import Collector
import TelemetryModel
import Testing

/// Whose reports a connection may bring (docs/formats/report.md).
@Suite struct VerifiedSenderTests {
    private static let reviews = "cluster.local/ns/default/sa/reviews"

    @Test(arguments: [
        // Whoever shows a certificate reports for it alone.
        (identity: reviews, isKnown: true, isAsked: true, claim: reviews, isTaken: true),
        (reviews, true, true, nil, false), (reviews, true, true, "cluster.local/ns/default/sa/ratings", false),
        (reviews, true, true, "elsewhere/ns/default/sa/reviews", false), (reviews, true, true, "", false),
        (nil, true, true, nil, false), (nil, true, true, reviews, false),
        // Where certificates are wanted and none is shown, nobody is somebody.
        (nil, false, true, nil, true), (nil, false, true, reviews, false),
        // Where nobody is asked, a name is a name.
        (nil, false, false, nil, true), (nil, false, false, reviews, true),
    ] as [(identity: String?, isKnown: Bool, isAsked: Bool, claim: String?, isTaken: Bool)])
    func aReportIsItsCertificates(_ row: (identity: String?, isKnown: Bool, isAsked: Bool, claim: String?, isTaken: Bool)) {
        let sender = VerifiedSender(identity: row.identity, isKnown: row.isKnown, isAsked: row.isAsked)
        #expect((sender.refusal(of: row.claim) == nil) == row.isTaken)
    }

    @Test func aSendersNameSaysWhoItIs() {
        func claim(_ sender: String) -> String? { SeriesBatch.Report(sender: sender, sequence: 1).claimedPrincipal }
        let name = SeriesBatch.Report.sender(principal: Self.reviews, instance: "[::1]:15090", number: "1f")
        #expect(name == "cluster.local/ns/default/sa/reviews@[::1]:15090/1f" && claim(name) == Self.reviews)
        #expect(claim(SeriesBatch.Report.sender(principal: nil, instance: "10.0.0.1:15090", number: "1f")) == nil)
        #expect(claim("x@\(name)") == "x@\(Self.reviews)" && claim("@") == "")
    }
}

/// What became of the spans of a body that could be read to its end.
public struct ZipkinDecodeOutcome: Equatable, Sendable {
    /// Reasons kept of one body, so that an answer stays short whatever was sent.
    public static let reasonsMax = 5

    public var acceptedSpans = 0
    public var refusedSpans = 0
    /// Why the first `reasonsMax` refused spans were, in the body's order.
    public var reasons: [ZipkinDecodeError] = []

    public init() {}

    @inline(__always)
    mutating func refuse(_ reason: @autoclosure () -> ZipkinDecodeError) {
        refusedSpans += 1
        if reasons.count < Self.reasonsMax { reasons.append(reason()) }
    }

    /// The answer to the sender once the accepted spans are stored: how many were and were not, then a line for each reason. Empty
    /// when none was refused.
    public var message: String {
        guard refusedSpans > 0 else { return "" }
        let stored = acceptedSpans == 0 ? "none stored" : "\(acceptedSpans) stored, which need not be sent again"
        var lines = ["\(refusedSpans) of \(refusedSpans + acceptedSpans) spans refused, \(stored)"]
        lines += reasons.map(\.spanReason)
        if refusedSpans > reasons.count { lines.append("and \(refusedSpans - reasons.count) more") }
        return lines.joined(separator: "\n")
    }
}

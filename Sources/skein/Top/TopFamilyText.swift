/// Words about a metric's series.
enum TopFamilyText {
    /// Of what `row` has behind the name.
    static let heading = "   SERIES   FULL OVERFLOW  LABELS WITH MOST VALUES"

    /// One line for the foot of the screen.
    static func sentence(_ family: TopFamily) -> String {
        let label = family.labels.first.map { ": label \(SafeText.clean($0.name)) has \(TopColumns.count(Double($0.values))) values" } ?? ""
        return "\(SafeText.clean(family.metric)) has \(TopColumns.count(Double(family.series))) series, all it may have\(label)"
    }

    /// `sign` stands before the name.
    static func row(_ family: TopFamily, _ sign: String, nameWidth: Int) -> String {
        let labels = family.labels.prefix(3).map { "\(SafeText.clean($0.name)) \(TopColumns.count(Double($0.values)))" }
        let series = SafeText.fitted(TopColumns.count(Double(family.series)), 8, rightAligned: true)
        let full = SafeText.fitted(percentFull(family), 6, rightAligned: true)
        let overflow = SafeText.fitted(TopColumns.count(Double(family.overflowedSeries)), 8, rightAligned: true)
        let name = SafeText.fitted(sign + SafeText.clean(family.metric), nameWidth)
        return "\(name) \(series) \(full) \(overflow)  \(labels.joined(separator: ", "))"
    }

    private static func percentFull(_ family: TopFamily) -> String { "\(Int(min(100, max(0, family.share * 100)).rounded(.down))) %" }

    static func details(_ family: TopFamily) -> [String] {
        var lines = [
            "", SafeText.clean(family.metric), "", "  \(family.series) series of \(family.seriesMax) that it may have", "",
        ]
        if family.overflowedSeries > 0 {
            lines += [
                "  \(family.overflowedSeries) more had no place; \(family.overflowedSamples) of their samples are summed up in",
                "  the series with skein_overflow=\"true\"", "",
            ]
        }
        lines.append("    VALUES  LABEL")
        lines += family.labels.map { SafeText.fitted("\($0.values)", 10, rightAligned: true) + "  " + SafeText.clean($0.name) }
        lines += ["", "    SERIES  SENDER"]
        lines += family.senders.map {
            SafeText.fitted("\($0.series)", 10, rightAligned: true) + "  \(SafeText.clean($0.job)) \(SafeText.clean($0.instance))"
        }
        return lines
    }
}

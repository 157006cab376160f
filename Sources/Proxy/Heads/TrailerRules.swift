internal import HTTP
internal import Primitives
internal import Routing

/// Trailer sections on their way, in either direction and version. What a head is cleaned of must not come behind the body instead: a field
/// that a trailer section may not have (`FieldRules.isForbiddenInTrailers`), that the route removes or sets, or that has one of our names
/// with underscores is left out and counted.
enum TrailerRules {
    /// Writes the section's lines to `lines`; returns how many fields were left out. `edits`: of the configuration `epoch`.
    static func keepLines(
        _ head: borrowing MessageHead, _ edits: HeaderEdits, _ epochs: inout Epochs, _ epoch: SlotID, to lines: inout ByteBuffer
    ) -> UInt64 {
        lines.clear()
        var dropped: UInt64 = 0
        for index in 0..<head.fieldCount {
            if passes(head, index, edits, &epochs.all[epoch]) { head.write(line: index, to: &lines) } else { dropped += 1 }
        }
        return dropped
    }

    private static func passes(_ head: borrowing MessageHead, _ index: Int, _ edits: HeaderEdits, _ epoch: inout Epoch) -> Bool {
        let name = head.nameBytes(at: index)
        if unsafe FieldRules.isForbiddenInTrailers(name.buffer) { return false }
        if head.hasUnderscore(at: index) && HeaderName.isLookalike(name) { return false }
        return !edits.isActive || !epoch.tables.drops(edits, name)
    }
}

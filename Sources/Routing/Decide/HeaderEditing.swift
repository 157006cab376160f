public import Primitives

/// What header edits and their values say, for whoever writes the fields.
extension RoutingTables {
    public func requestEdits(destination: UInt32) -> HeaderEdits { view.rows.destinations[destination].requestHeaders }
    public func responseEdits(destination: UInt32) -> HeaderEdits { view.rows.destinations[destination].responseHeaders }

    /// Whether a field goes before values are made of the others, by its name in any case.
    public func removes(_ edits: HeaderEdits, _ name: LentBytes) -> Bool { view.lists(edits.removals, name) }

    /// Whether a field gives way to an addition, which may still be made of its value.
    public func replaces(_ edits: HeaderEdits, _ name: LentBytes) -> Bool {
        view.lists(edits.replacements, name)
    }

    /// Whether a field of the message goes, for either reason.
    public func drops(_ edits: HeaderEdits, _ name: LentBytes) -> Bool { view.drops(edits, name) }

    public func drops(_ edits: HeaderEdits, _ name: StaticString) -> Bool { view.drops(edits, LentBytes(name)) }

    public func additionCount(_ edits: HeaderEdits) -> Int { Int(edits.additions.count) }

    /// The n-th field to add, n < `additionCount`.
    public func addition(_ edits: HeaderEdits, _ index: Int) -> (name: LentBytes, value: LentBytes) {
        let view = self.view
        let field = view.rows.fieldTexts[Int(edits.additions.start) + index]
        return (view.bytes(field.name), view.bytes(field.value))
    }

    /// The pieces of the n-th field to add; nil when its value is plain text.
    public func pieces(_ edits: HeaderEdits, _ index: Int) -> Range<Int>? {
        let range = view.rows.fieldTexts[Int(edits.additions.start) + index].program
        return range.isEmpty ? nil : range.indices
    }

    public func piece(_ index: Int) -> HeaderValuePiece { view.rows.headerPieces[index] }
    public func text(_ piece: HeaderValuePiece) -> LentBytes { view.bytes(piece.literal) }
    public func alternative(_ piece: HeaderValuePiece) -> LentBytes { view.bytes(piece.substitute) }
}

extension TableView {
    func drops(_ edits: HeaderEdits, _ name: LentBytes) -> Bool { lists(edits.removals, name) || lists(edits.replacements, name) }

    func lists(_ range: TableRange, _ name: LentBytes) -> Bool {
        for index in range.indices where name.equalsIgnoringCase(bytes(rows.fieldTexts[index].name)) { return true }
        return false
    }
}

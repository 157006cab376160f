/// Which resources one load added, removed and changed, and what of them: for who asks what a reload did. Pure.
///
/// A resource that moved to another file or line and says the same has not changed.
public struct ConfigurationChanges: Sendable {
    public enum Kind: String, Sendable {
        case added, removed, changed
    }

    /// A rule of a VirtualService.
    public struct Rule: Sendable, Equatable {
        public var kind: Kind
        /// Its name, or `http[2]`; of a rule that was renamed, the new one.
        public var name: String
        /// Where it stands now; of a removed one, where it stood.
        public var position: SourcePosition
    }

    public struct Change: Sendable {
        public var kind: Kind
        public var id: ResourceID
        /// Where it stands now; of a removed one, where it stood.
        public var position: SourcePosition
        /// Of a changed one: fields of `spec` that differ, `metadata.labels`, `metadata.annotations`. Sorted; `fieldsMax` at most.
        public var fields: [String] = []
        /// Of a changed VirtualService; `rulesMax` at most.
        public var rules: [Rule] = []
        /// Rules that are the same stand in another order, so that another may be the first that fits.
        public var isReordered = false
    }

    /// Changes that are listed; all are counted.
    public static let changesMax = 200
    public static let rulesMax = 100
    public static let fieldsMax = 32

    /// Of the kinds added, removed, changed.
    public private(set) var counts: [Kind: Int] = [:]
    /// By kind of resource, namespace and name.
    public private(set) var changes: [Change] = []

    public var omitted: Int { counts.values.reduce(0, +) - changes.count }

    /// `old` nil: the first load, which changes nothing.
    public init(from old: MeshConfiguration?, to new: MeshConfiguration) {
        guard let old else { return }
        let before = Dictionary(old.digests.map { ($0.id, $0) }) { first, _ in first }
        let after = Dictionary(new.digests.map { ($0.id, $0) }) { first, _ in first }
        var all: [Change] = []
        for (id, digest) in before where after[id] == nil { all.append(Change(kind: .removed, id: id, position: digest.position)) }
        for (id, digest) in after {
            if let earlier = before[id] {
                if let change = Self.change(earlier, digest) { all.append(change) }
            } else {
                all.append(Change(kind: .added, id: id, position: digest.position))
            }
        }
        counts = all.reduce(into: [:]) { $0[$1.kind, default: 0] += 1 }
        all.sort { ($0.id.kind, $0.id.namespace, $0.id.name) < ($1.id.kind, $1.id.namespace, $1.id.name) }
        changes = Array(all.prefix(Self.changesMax))
    }

    private static func change(_ old: ResourceDigest, _ new: ResourceDigest) -> Change? {
        var change = Change(kind: .changed, id: new.id, position: new.position)
        let different = Set(old.fields).symmetricDifference(new.fields)
        change.fields = Array(Set(different.map(\.name)).sorted().prefix(fieldsMax))
        for list in ResourceDigest.ruleLists {
            compare(old.rules.filter { $0.list == list }, new.rules.filter { $0.list == list }, &change)
        }
        change.rules = Array(change.rules.prefix(rulesMax))
        return change.fields.isEmpty && change.rules.isEmpty && !change.isReordered ? nil : change
    }

    /// Rules that say the same are paired first, then those of the same name, then what is left in order. Costs no more than sorting them.
    private static func compare(_ old: [ResourceDigest.Rule], _ new: [ResourceDigest.Rule], _ change: inout Change) {
        // The greatest place first, so that taking the last takes them in order.
        var byHash = Dictionary(grouping: old.indices.reversed()) { old[$0].hash }
        let pairs = new.map { byHash[$0.hash]?.popLast() }
        let same = pairs.compactMap(\.self)
        change.isReordered = change.isReordered || zip(same, same.dropFirst()).contains { $0 > $1 }
        var left = Set(old.indices).subtracting(same)
        var byName = Dictionary(grouping: left.sorted(by: >)) { old[$0].name }
        var unpaired: [ResourceDigest.Rule] = []
        for (rule, pair) in zip(new, pairs) where pair == nil {
            if let place = byName[rule.name]?.popLast() {
                left.remove(place)
                change.rules.append(Rule(kind: .changed, name: rule.name, position: rule.position))
            } else {
                unpaired.append(rule)
            }
        }
        let gone = left.sorted()
        for (place, rule) in unpaired.enumerated() {
            change.rules.append(Rule(kind: place < gone.count ? .changed : .added, name: rule.name, position: rule.position))
        }
        for place in gone.dropFirst(unpaired.count) {
            change.rules.append(Rule(kind: .removed, name: old[place].name, position: old[place].position))
        }
    }
}

internal import Primitives

/// By what a rule can be found: a kind of key and its text.
struct RuleKey: Hashable {
    var kind: RuleKeyKinds.RawValue
    var text: [UInt8]

    init(_ kind: RuleKeyKinds, _ text: some Sequence<UInt8>) {
        self.kind = kind.rawValue
        self.text = Array(text)
    }
}

/// Files rules under keys, so that those that a request's keys do not lead to are not looked at. Off the request path.
///
/// A rule may have several sets of keys, each of which finds it whenever it matches: its principals, say, or its paths. It is filed under
/// the one whose keys are shared with the fewest other rules. A rule that has none, such as one for everybody but somebody, is looked at
/// every time.
struct RuleIndexBuilder {
    /// Different lengths of path prefixes in one index: each costs every request a look-up. Beyond, prefixes are filed under shorter ones.
    static let prefixLengthsMax = 32
    /// Keys of one rule; one with more is looked at every time.
    static let keysOfRuleMax = 4096

    /// Index = rule, from `first` on; none = it does not belong into the index.
    private var choices: [[[RuleKey]]?] = []
    private let first: Int

    /// `first`: index of the first rule that is added.
    init(first: Int) { self.first = first }

    /// The next rule, with each set of keys that finds it; nil = it never matches here.
    mutating func add(_ sets: [[RuleKey]]?) { choices.append(sets?.filter { $0.count <= Self.keysOfRuleMax }) }

    /// Writes the index into tables.
    func build(
        keys: inout GrowingTable<RuleKeyEntry>, prefixLengths: inout GrowingTable<UInt16>, candidates: inout GrowingTable<UInt32>
    ) -> RuleIndexEntry {
        var entry = RuleIndexEntry()
        var others: [UInt32] = []
        var filed: [RuleKey: [UInt32]] = [:]
        let chosen = chooseSets()
        let lengths = Self.lengths(of: chosen.flatMap { $0.keys })
        for (rule, set) in chosen {
            let rule = UInt32(clamping: rule)
            if set.isEmpty { others.append(rule) }
            for key in Set(set.map({ Self.shorten($0, lengths) })) {
                filed[key, default: []].append(rule)
                entry.kinds.insert(RuleKeyKinds(rawValue: key.kind))
            }
        }
        entry.others = candidates.add(contentsOf: others)
        entry.prefixLengths = prefixLengths.add(contentsOf: lengths.map { UInt16(clamping: $0) })
        entry.keys = place(filed, &keys, &candidates)
        return entry
    }

    /// Each rule that belongs into the index with the keys that it is filed under; none = it has none.
    private func chooseSets() -> [(rule: Int, keys: [RuleKey])] {
        var uses: [RuleKey: Int] = [:]
        for sets in choices { for key in Set((sets ?? []).joined()) { uses[key, default: 0] += 1 } }
        return choices.enumerated().compactMap { place, sets in
            guard let sets else { return nil }
            func crowd(_ set: [RuleKey]) -> Int { set.map { uses[$0] ?? 0 }.max() ?? 0 }
            return (first + place, sets.min { crowd($0) < crowd($1) } ?? [])
        }
    }

    private static func isPrefix(_ key: RuleKey) -> Bool { key.kind == RuleKeyKinds.pathPrefix.rawValue }

    /// Lengths that prefixes are looked up with, ascending: all that there are, or as many as are allowed, the shortest among them.
    private static func lengths(of keys: [RuleKey]) -> [Int] {
        let all = Set(keys.filter(isPrefix).map { min($0.text.count, Int(UInt16.max)) }).sorted()
        guard all.count > prefixLengthsMax else { return all }
        return (0..<prefixLengthsMax).map { all[$0 * all.count / prefixLengthsMax] }
    }

    private static func shorten(_ key: RuleKey, _ lengths: [Int]) -> RuleKey {
        guard isPrefix(key), let length = lengths.last(where: { $0 <= key.text.count }) else { return key }
        return RuleKey(.pathPrefix, key.text.prefix(length))
    }

    private func place(
        _ filed: [RuleKey: [UInt32]], _ keys: inout GrowingTable<RuleKeyEntry>, _ candidates: inout GrowingTable<UInt32>
    ) -> TableRange {
        guard !filed.isEmpty else { return TableRange() }
        // Two texts of one hash share their rules.
        var rules: [UInt64: Set<UInt32>] = [:]
        for (key, found) in filed {
            let hash = unsafe key.text.withUnsafeBytes { unsafe RuleKeyKinds(rawValue: key.kind).hash(LentBytes($0)) }
            rules[hash, default: []].formUnion(found)
        }
        var count = 4
        while count < rules.count * 2 { count *= 2 }
        var slots = [RuleKeyEntry](repeating: RuleKeyEntry(), count: count)
        for (hash, found) in rules {
            var place = Int(truncatingIfNeeded: UInt32(truncatingIfNeeded: hash)) & (count - 1)
            while slots[place].hash != 0 { place = (place + 1) & (count - 1) }
            slots[place] = RuleKeyEntry(hash: hash, rules: candidates.add(contentsOf: found.sorted()))
        }
        return keys.add(contentsOf: slots)
    }
}

internal import HTTP
internal import Primitives

extension AuthorizationView {
    /// Whether a rule matches. Of a connection the fields that only HTTP has are left out of a rule that refuses, and a rule that lets in
    /// and asks for one never matches (semantics 2.8).
    func matches(_ index: Int, _ phase: RulePhase, _ request: AuthorizationRequest, _ head: borrowing MessageHead) -> Bool {
        let rule = rows.rules.slot(index)
        if !request.isHTTP, rule.entry.isHTTPOnly, phase.isStrict { return false }
        return anyHolds(rule.entry.sources, phase, request, head) && anyHolds(rule.entry.operations, phase, request, head)
            && allHold(rule.entry.conditions, phase, request, head)
    }

    private func anyHolds(
        _ groups: TableRange, _ phase: RulePhase, _ request: AuthorizationRequest, _ head: borrowing MessageHead
    ) -> Bool {
        if groups.isEmpty { return true }
        for index in groups.indices where allHold(rows.groups[index].clauses, phase, request, head) { return true }
        return false
    }

    func allHold(_ clauses: TableRange, _ phase: RulePhase, _ request: AuthorizationRequest, _ head: borrowing MessageHead) -> Bool {
        for index in clauses.indices {
            if !request.isHTTP, rows.clauses[index].isHTTPOnly { continue }
            if !holds(index, request, head, isStrict: phase.isStrict) { return false }
        }
        return true
    }

    /// The first rule of a phase that matches, in the order of the rules; nil = none does. Rules that a key of the request does not lead to
    /// are not looked at.
    func firstMatch(_ phase: RulePhase, _ request: AuthorizationRequest, _ head: borrowing MessageHead) -> Int? {
        let list = rows.lists[phase.rawValue]
        guard !list.rules.isEmpty else { return nil }
        let index = request.isHTTP ? list.forHTTP : list.forTCP
        var first = Int.max
        search(index.others, phase, request, head, &first)
        let peer = request.peer
        if index.kinds.contains(.principal), !peer.principal.isEmpty { search(index, peer.principalHash, phase, request, head, &first) }
        if index.kinds.contains(.namespace), !peer.namespace.isEmpty { search(index, peer.namespaceHash, phase, request, head, &first) }
        if request.isHTTP { searchHTTP(index, phase, request, head, &first) }
        return first == Int.max ? nil : first
    }

    private func searchHTTP(
        _ index: RuleIndexEntry, _ phase: RulePhase, _ request: AuthorizationRequest, _ head: borrowing MessageHead, _ first: inout Int
    ) {
        if index.kinds.contains(.method) { search(index, RuleKeyKinds.method.hash(request.method), phase, request, head, &first) }
        if index.kinds.contains(.host) {
            let hash = request.withAuthority { $0.withLowercased { RuleKeyKinds.host.hash($0) } }
            search(index, hash, phase, request, head, &first)
        }
        if index.kinds.contains(.path) { search(index, RuleKeyKinds.path.hash(request.path), phase, request, head, &first) }
        guard index.kinds.contains(.pathPrefix) else { return }
        for place in index.prefixLengths.indices {
            let length = Int(rows.prefixLengths[place])
            if length > request.path.count { break }
            search(index, RuleKeyKinds.pathPrefix.hash(request.path.prefix(length)), phase, request, head, &first)
        }
    }

    /// Tests the rules under a key, those before `first` only.
    private func search(
        _ index: RuleIndexEntry, _ hash: UInt64, _ phase: RulePhase, _ request: AuthorizationRequest, _ head: borrowing MessageHead,
        _ first: inout Int
    ) {
        guard index.keys.count > 0 else { return }
        let mask = index.keys.count - 1
        var place = UInt32(truncatingIfNeeded: hash) & mask
        while true {
            let entry = rows.keys[index.keys.start + place]
            if entry.hash == 0 { return }
            if entry.hash == hash { return search(entry.rules, phase, request, head, &first) }
            place = (place + 1) & mask
        }
    }

    private func search(
        _ candidates: TableRange, _ phase: RulePhase, _ request: AuthorizationRequest, _ head: borrowing MessageHead, _ first: inout Int
    ) {
        for place in candidates.indices {
            let rule = Int(rows.candidates[place])
            if rule >= first { return }
            if matches(rule, phase, request, head) {
                first = rule
                return
            }
        }
    }
}

/// Rules that no request can reach, because rules before them surely take everything they match (IST0130), and single matches of
/// which the same is true (IST0131).
///
/// Sound, not complete: it speaks only where one earlier match is implied by the later one (`MatchConditions.covers`). Rules that only
/// together cover a later one, and regexes that happen to, are not seen. `AnalysisReachabilityTests` of Routing holds it against the
/// router itself.
enum RouteReachability {
    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        var left = AnalysisLimits.comparisons
        for rule in context.configuration.virtualServices {
            let granted = min(left, AnalysisLimits.comparisonsPerVirtualService)
            var budget = granted
            checkHTTP(rule, &budget, &report)
            checkConnections(rule, &budget, &report)
            left -= granted - max(0, budget)
            if budget <= 0 {
                report.add(
                    .analysisCutShort, rule.id, rule.position, "spec",
                    "its rules were compared \(granted) times; those after that were not checked for being reachable")
            }
        }
    }

    /// One match of a rule before the one that is looked at.
    private struct Earlier {
        var route: Int
        /// -1 = the rule has no match.
        var match: Int
        var line: Int
        var conditions: MatchConditions

        var name: String { match < 0 ? "http[\(route)]" : "http[\(route)].match[\(match)]" }
    }

    private static func checkHTTP(_ rule: VirtualService, _ budget: inout Int, _ report: inout AnalysisReport) {
        // A delegate's conditions count together with its parent's, which may replace them.
        guard !rule.hosts.isEmpty else { return }
        var earlier = EarlierMatches()
        for (index, route) in rule.http.enumerated() {
            // A delegate's rules have conditions of their own, so neither end of the comparison is known here.
            if route.delegate != nil { continue }
            let isKept = !route.destinations.isEmpty || route.redirect != nil || route.directResponse != nil
            guard isKept else { continue }
            let matches = route.matches.isEmpty ? [nil] : route.matches.map(Optional.some)
            var covering: [Earlier?] = []
            for (place, match) in matches.enumerated() {
                let conditions = MatchConditions(match, ruleGateways: rule.gateways)
                covering.append(earlier.first(covering: conditions, before: index, &budget))
                if budget <= 0 { return }
                earlier.add(
                    Earlier(
                        route: index, match: match == nil ? -1 : place, line: (match?.position ?? route.position).line,
                        conditions: conditions))
            }
            let byOthers = covering.compactMap { $0 }.filter { $0.route < index }
            if byOthers.count == matches.count, let first = byOthers.first {
                let takers = Set(byOthers.map(\.route)).sorted()
                let who = takers.count == 1 ? "\(first.name) (line \(first.line))" : takers.map { "http[\($0)]" }.joined(separator: ", ")
                report.add(
                    .unreachableRule, rule.id, route.position, "spec.http[\(index)]",
                    "never used: \(who) before it takes every request that it matches")
            } else {
                for (place, taker) in covering.enumerated() {
                    guard let taker, place < route.matches.count else { continue }
                    report.add(
                        .ineffectiveMatch, rule.id, route.matches[place].position, "spec.http[\(index)].match[\(place)]",
                        "never decides: \(taker.name) (line \(taker.line)) takes every request that it matches",
                        hint: taker.route == index ? "Delete it: the other says as much or more." : nil)
                }
            }
            // Loading says so of every rule after this one.
            if route.matches.isEmpty { return }
        }
    }

    /// Earlier matches by the text of their path, so that a rule is compared with those that could cover it and not with all.
    private struct EarlierMatches {
        private var all: [Earlier] = []
        private var exact: [[UInt8]: [Int]] = [:]
        private var prefixes: [[UInt8]: [Int]] = [:]
        private var regexes: [[UInt8]: [Int]] = [:]
        /// Without a path, or with one of any case.
        private var others: [Int] = []
        private var prefixLengths: Set<Int> = []

        mutating func add(_ earlier: Earlier) {
            let place = all.count
            all.append(earlier)
            guard let uri = earlier.conditions.uri, !uri.ignoresCase, uri.kind != .present else {
                others.append(place)
                return
            }
            switch uri.kind {
            case .exact: exact[uri.bytes, default: []].append(place)
            case .prefix:
                prefixes[uri.bytes, default: []].append(place)
                prefixLengths.insert(uri.bytes.count)
            default: regexes[uri.bytes, default: []].append(place)
            }
        }

        /// One that covers `narrow`, of an earlier rule when there is one, else of the same; each look costs of the budget.
        func first(covering narrow: MatchConditions, before route: Int, _ budget: inout Int) -> Earlier? {
            var own: Earlier?
            func search(_ places: [Int], _ budget: inout Int) -> Earlier? {
                for place in places {
                    budget -= 1
                    if budget <= 0 { return nil }
                    guard all[place].conditions.covers(narrow) else { continue }
                    if all[place].route < route { return all[place] }
                    own = own ?? all[place]
                }
                return nil
            }
            if let found = search(others, &budget) { return found }
            guard let uri = narrow.uri else { return own }
            if uri.kind == .regex { return search(regexes[uri.bytes] ?? [], &budget) ?? own }
            if uri.kind == .exact, let found = search(exact[uri.bytes] ?? [], &budget) { return found }
            guard uri.kind != .present else { return own }
            for length in prefixLengths where length <= uri.bytes.count {
                budget -= 1 + length / 32
                if budget <= 0 { return own }
                if let found = search(prefixes[Array(uri.bytes[..<length])] ?? [], &budget) { return found }
            }
            return own
        }
    }

    // MARK: Connections

    /// `tls` rules among themselves, then `tcp` rules.
    private static func checkConnections(_ rule: VirtualService, _ budget: inout Int, _ report: inout AnalysisReport) {
        for isTLS in [true, false] {
            let name = isTLS ? "tls" : "tcp"
            var earlier: [(route: Int, line: Int, match: L4Match?)] = []
            for (index, route) in rule.l4.filter({ $0.isTLS == isTLS }).enumerated() where !route.destinations.isEmpty {
                let matches = route.matches.isEmpty ? [nil] : route.matches.map(Optional.some)
                var takers: [Int?] = []
                for match in matches {
                    var taker: Int?
                    for candidate in earlier {
                        budget -= 1
                        if budget <= 0 { return }
                        guard covers(candidate.match, match, rule.gateways) else { continue }
                        taker = candidate.route
                        break
                    }
                    takers.append(taker)
                }
                if takers.allSatisfy({ $0 != nil }), let first = takers.first ?? nil {
                    report.add(
                        .unreachableRule, rule.id, route.position, "spec.\(name)[\(index)]",
                        "never used: \(name)[\(first)] before it takes every connection that it matches")
                    continue
                }
                for (place, taker) in takers.enumerated() {
                    guard let taker, place < route.matches.count else { continue }
                    report.add(
                        .ineffectiveMatch, rule.id, route.matches[place].position, "spec.\(name)[\(index)].match[\(place)]",
                        "never decides: \(name)[\(taker)] takes every connection that it matches")
                }
                earlier += matches.map { (index, route.position.line, $0) }
            }
        }
    }

    private static func covers(_ wide: L4Match?, _ narrow: L4Match?, _ ruleGateways: [String]) -> Bool {
        func gateways(_ match: L4Match?) -> Set<String> { Set(match.map(\.gateways).flatMap { $0.isEmpty ? nil : $0 } ?? ruleGateways) }
        guard gateways(wide).isSuperset(of: gateways(narrow)) else { return false }
        // Without ranges of its own a match has the service's addresses, so only like compares with like.
        let wideSubnets = Set(wide?.destinationSubnets ?? [])
        let narrowSubnets = Set(narrow?.destinationSubnets ?? [])
        guard wideSubnets.isEmpty == narrowSubnets.isEmpty, wideSubnets.isSuperset(of: narrowSubnets) else { return false }
        guard let wide else { return narrow?.sniHosts.isEmpty ?? true }
        if let port = wide.port, port != narrow?.port { return false }
        guard wide.sourceNamespace.isEmpty || wide.sourceNamespace == narrow?.sourceNamespace,
            wide.sourceLabels.allSatisfy({ narrow?.sourceLabels[$0.key] == $0.value })
        else { return false }
        let names = narrow?.sniHosts ?? []
        // Rules for server names go before those for any, wherever they stand.
        if wide.sniHosts.isEmpty || names.isEmpty { return wide.sniHosts.isEmpty && names.isEmpty }
        return names.allSatisfy { name in wide.sniHosts.contains { HostName.matches($0, name) } }
    }
}

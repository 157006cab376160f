internal import Primitives

/// How requests are shared among priorities and localities, by how many endpoints of each are available. Pure.
///
/// As Envoy does it ("Priority levels", "Locality weighted load balancing"): a priority keeps all its traffic while at least 1/1.4 of its
/// endpoints are available; what it cannot take goes to the next. If all together cannot take everything, each gets in proportion. A
/// locality's weight shrinks likewise.
public enum GroupShares {
    /// In hundredths: an endpoint is taken to bear this much of its part.
    public static let overprovisioningPercent: UInt64 = 140
    static let whole: UInt64 = 1_000_000

    /// Fills `shares`, one for each of `groups`, which are in the order of their priorities. `available` counts a group's available
    /// endpoints; below `panicPercent` of them a priority panics. Nothing available and no panic: all shares are 0. Costs a few passes over
    /// the groups.
    public static func compute(
        _ groups: UnsafeBufferPointer<EndpointGroup>, panicPercent: UInt64, into shares: UnsafeMutableBufferPointer<GroupShare>,
        available: (EndpointGroup) -> UInt64
    ) {
        var total: UInt64 = 0
        var allHosts: UInt64 = 0
        var place = 0
        while place < groups.count {
            let level = unsafe Level(groups, from: place, available)
            total += capacity(level.available, level.hosts)
            allHosts += level.hosts
            place = level.end
        }
        let borne = min(whole, total)
        var given: UInt64 = 0
        var lastServing = 0
        place = 0
        while place < groups.count {
            let level = unsafe Level(groups, from: place, available)
            let panics = borne < whole && 100 * level.available < panicPercent * level.hosts
            let load: UInt64 =
                if borne == 0 {
                    panics ? whole * level.hosts / allHosts : 0
                } else {
                    min(whole - given, capacity(level.available, level.hosts) * whole / borne)
                }
            var weights: UInt64 = 0
            for index in place..<level.end { unsafe weights += effectiveWeight(groups[index], panics, available) }
            var sum: UInt64 = 0
            for index in place..<level.end {
                let own = unsafe effectiveWeight(groups[index], panics, available)
                sum += own
                if own > 0, load > 0 { lastServing = index }
                unsafe shares[index].upTo = UInt32(clamping: given + (weights > 0 ? load * sum / weights : 0))
                unsafe shares[index].panics = panics
            }
            if weights > 0 { given += load }
            place = level.end
        }
        // Divisions round down; the last that serves takes what they left.
        if given > 0 { for index in lastServing..<groups.count { unsafe shares[index].upTo = UInt32(whole) } }
    }

    /// The groups of one priority.
    private struct Level {
        var available: UInt64 = 0
        var hosts: UInt64 = 0
        var end: Int

        init(_ groups: UnsafeBufferPointer<EndpointGroup>, from start: Int, _ count: (EndpointGroup) -> UInt64) {
            end = start
            while end < groups.count, unsafe groups[end].priority == groups[start].priority {
                unsafe available += count(groups[end])
                unsafe hosts += UInt64(groups[end].endpoints.count)
                end += 1
            }
        }
    }

    /// Millionths of its part that somebody can bear.
    private static func capacity(_ available: UInt64, _ hosts: UInt64) -> UInt64 {
        hosts == 0 ? 0 : min(whole, whole * overprovisioningPercent * available / (100 * hosts))
    }

    /// At most 10^12, so that no product below 2^64 is left.
    private static func effectiveWeight(_ group: EndpointGroup, _ panics: Bool, _ available: (EndpointGroup) -> UInt64) -> UInt64 {
        let own = UInt64(min(group.localityWeight, 1_000_000))
        return own * (panics ? whole : capacity(available(group), UInt64(group.endpoints.count)))
    }
}

internal import Synchronization

/// Where a rule's matches are counted: a number below `RuleCatalog.slotsMax`, for the life of the process.
public struct RuleSlot: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt16

    /// Of rules for which there was no room.
    public static let other = RuleSlot(rawValue: 0)
}

/// What is counted under one slot: the labels of a series.
public struct RuleLabels: Hashable, Sendable {
    public var namespace: String
    public var policy: String
    /// Place of the rule in its policy.
    public var rule: Int
    /// ALLOW, DENY, AUDIT or CUSTOM.
    public var action: String
    public var isDryRun: Bool
}

/// The rules that the process has known, so that their counters go on over reloads. Slots are never given to another rule: a series never
/// changes its meaning. Any thread; a lock, for compiling and printing only.
public final class RuleCatalog: Sendable {
    /// Rules with counters of their own; further ones share `RuleSlot.other`.
    public static let slotsMax = 4096

    private struct Known {
        var slots: [RuleLabels: RuleSlot] = [:]
        var labels: [RuleLabels] = []
    }

    private let known = Mutex(Known())

    public init() {}

    public func slot(of labels: RuleLabels) -> RuleSlot {
        known.withLock { known in
            if let slot = known.slots[labels] { return slot }
            guard known.labels.count < Self.slotsMax - 1 else { return .other }
            known.labels.append(labels)
            let slot = RuleSlot(rawValue: UInt16(clamping: known.labels.count))
            known.slots[labels] = slot
            return slot
        }
    }

    /// Every slot in use but `other`.
    public var all: [(slot: RuleSlot, labels: RuleLabels)] {
        known.withLock { known in
            known.labels.enumerated().map { (RuleSlot(rawValue: UInt16(clamping: $0.offset + 1)), $0.element) }
        }
    }
}

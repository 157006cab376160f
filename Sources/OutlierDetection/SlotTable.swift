public import Primitives
internal import Synchronization

/// A cluster of a configuration and its endpoints, as slots are assigned for them.
public struct ClusterMembership: Sendable {
    public var key: ClusterKey
    public var endpoints: [SocketEndpoint]

    public init(key: ClusterKey, endpoints: [SocketEndpoint]) {
        self.key = key
        self.endpoints = endpoints
    }
}

/// The slots of a configuration: `clusters[i]` and its `endpoints[j]` belong to what was asked for at the same places.
public struct SlotAssignment: Sendable {
    public struct Cluster: Sendable {
        public var key: ClusterKey
        public var slot: ClusterSlot
        public var endpoints: [EndpointSlot]
    }

    /// Grows by one with each assignment; what `reclaim` wants to know.
    public var generation: UInt64
    public var clusters: [Cluster]
    /// How many were given `none` because the table is full: their limits and ejections do not work, which must be said.
    public var clustersWithoutSlot = 0
    public var endpointsWithoutSlot = 0
}

/// Who owns which row of `UpstreamState`. Control thread only, behind the state's Mutex.
struct SlotTable {
    struct EndpointKey: Hashable {
        var cluster: ClusterKey
        var address: SocketEndpoint
    }

    /// Rows of one kind: which owner has which, and which wait for their last user.
    struct Rows<Key: Hashable> {
        let capacity: Int
        var slots: [Key: UInt32] = [:]
        /// Owners that the assignment of this generation no longer names.
        var retired: [Key: UInt64] = [:]
        private var free: [UInt32] = []
        private var used: UInt32 = 0

        init(capacity: Int) { self.capacity = capacity }

        /// The owner's row, the one it has or a new one; nil when there is none left.
        mutating func assign(_ key: Key) -> (slot: UInt32, isNew: Bool)? {
            if let slot = slots[key] {
                retired[key] = nil
                return (slot, false)
            }
            guard let slot = free.popLast() ?? next() else { return nil }
            slots[key] = slot
            return (slot, true)
        }

        mutating func retire(allBut kept: Set<Key>, generation: UInt64) {
            for key in slots.keys where !kept.contains(key) && retired[key] == nil { retired[key] = generation }
        }

        /// Frees the rows that nobody can reach any more; returns their owners.
        mutating func reclaim(adopted: UInt64, isIdle: (UInt32) -> Bool) -> [Key] {
            let gone = retired.filter { entry in entry.value <= adopted && (slots[entry.key].map(isIdle) ?? true) }.map(\.key)
            for key in gone {
                retired[key] = nil
                if let slot = slots.removeValue(forKey: key) { free.append(slot) }
            }
            return gone
        }

        private mutating func next() -> UInt32? {
            guard used < capacity else { return nil }
            used += 1
            return used - 1
        }
    }

    var clusters: Rows<ClusterKey>
    var endpoints: Rows<EndpointKey>
    var addresses: [EndpointSlot: SocketEndpoint] = [:]
    var generation: UInt64 = 0

    init(clustersMax: Int, endpointsMax: Int) {
        clusters = Rows(capacity: clustersMax)
        endpoints = Rows(capacity: endpointsMax)
    }
}

extension UpstreamState {
    /// Control thread: the slots of a configuration about to be compiled. Clusters and endpoints known already keep theirs, with all
    /// counts. Those no longer named keep theirs too, until `reclaim`.
    public func slots(for clusters: [ClusterMembership]) -> SlotAssignment {
        table.withLock { table in
            table.generation += 1
            var assignment = SlotAssignment(generation: table.generation, clusters: [])
            assignment.clusters.reserveCapacity(clusters.count)
            var keptClusters: Set<ClusterKey> = []
            var keptEndpoints: Set<SlotTable.EndpointKey> = []
            for member in clusters {
                var cluster = SlotAssignment.Cluster(key: member.key, slot: .none, endpoints: [])
                if let (slot, isNew) = table.clusters.assign(member.key) {
                    cluster.slot = ClusterSlot(slot)
                    if isNew { clear(cluster.slot) }
                    keptClusters.insert(member.key)
                } else {
                    assignment.clustersWithoutSlot += 1
                }
                for address in member.endpoints {
                    let key = SlotTable.EndpointKey(cluster: member.key, address: address)
                    guard let (slot, isNew) = table.endpoints.assign(key) else {
                        assignment.endpointsWithoutSlot += 1
                        cluster.endpoints.append(.none)
                        continue
                    }
                    let endpoint = EndpointSlot(slot)
                    if isNew {
                        clear(endpoint)
                        table.addresses[endpoint] = address
                    }
                    keptEndpoints.insert(key)
                    cluster.endpoints.append(endpoint)
                }
                assignment.clusters.append(cluster)
            }
            table.clusters.retire(allBut: keptClusters, generation: table.generation)
            table.endpoints.retire(allBut: keptEndpoints, generation: table.generation)
            return assignment
        }
    }

    /// Control thread: every worker has adopted the configuration of this assignment (or a later one), so that rows which it does not
    /// name and which hold nothing any more can have new owners. Call it after each adoption and now and then until it returns 0.
    /// - Returns: Rows that still wait for a request, connection or retry of an older configuration to end.
    @discardableResult
    public func reclaim(adopted generation: UInt64) -> Int {
        table.withLock { table in
            let endpoints = table.endpoints.reclaim(adopted: generation) { slot in activeRequests(EndpointSlot(slot)) == 0 }
            if !endpoints.isEmpty {
                let live = Set(table.endpoints.slots.values)
                table.addresses = table.addresses.filter { live.contains($0.key.rawValue) }
            }
            _ = table.clusters.reclaim(adopted: generation) { slot in
                let cluster = ClusterSlot(slot)
                return UpstreamResource.allCases.allSatisfy { held($0, cluster: cluster) == 0 } && retriesInBackOff(cluster: cluster) == 0
            }
            return table.endpoints.retired.count + table.clusters.retired.count
        }
    }

    /// Control thread and readers of statistics: the address behind a slot; nil when it was given back.
    public func address(of endpoint: EndpointSlot) -> SocketEndpoint? {
        table.withLock { $0.addresses[endpoint] }
    }

    /// Rows in use, retired ones included.
    public var slotsUsed: (clusters: Int, endpoints: Int) {
        table.withLock { ($0.clusters.slots.count, $0.endpoints.slots.count) }
    }
}

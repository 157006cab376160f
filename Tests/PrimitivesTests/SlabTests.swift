import Primitives
import Testing

@Suite struct SlabTests {

    struct Item: ~Copyable {
        var value: Int
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func behavesAsADictionary(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var slab = Slab<Item>(countMax: 300)
        var model: [SlotID: Int] = [:]
        var parked: [Int] = []
        var stale: [SlotID] = []
        var order: [SlotID] = []
        for step in 0..<30_000 {
            let chosen = order.isEmpty ? nil : order[Int(random.below(UInt32(order.count)))]
            defer {
                if let chosen, model[chosen] == nil, let place = order.firstIndex(of: chosen) {
                    order.swapAt(place, order.count - 1); order.removeLast()
                }
            }
            switch random.below(10) {
            case 0...4:
                if let id = slab.insert(Item(value: step)) {
                    guard model[id] == nil else { return record(seed, step, "a handle was given twice") }
                    model[id] = step
                    order.append(id)
                } else if model.count + parked.count < 300 {
                    return record(seed, step, "refused at \(model.count)")
                }
            case 5...6:
                guard let chosen else { continue }
                guard slab.remove(chosen) else { return record(seed, step, "remove failed") }
                model[chosen] = nil
                stale.append(chosen)
            case 7:
                guard let chosen, let value = model[chosen] else { continue }
                guard slab.park(chosen) else { return record(seed, step, "park failed") }
                model[chosen] = nil
                parked.append(value)
                stale.append(chosen)
            case 8:
                let id = slab.reuse()
                guard (id == nil) == parked.isEmpty else { return record(seed, step, "reuse") }
                if let id {
                    model[id] = parked.removeLast()
                    order.append(id)
                }
            default:
                for id in stale.suffix(20) {
                    guard unsafe slab.pointer(id) == nil, !slab.remove(id), !slab.park(id) else {
                        return record(seed, step, "a stale handle resolved")
                    }
                }
            }
            guard slab.count == model.count else { return record(seed, step, "count \(slab.count), expected \(model.count)") }
            if step % 500 == 0 {
                guard Set(slab.identifiers()) == Set(model.keys) else { return record(seed, step, "identifiers") }
                for (id, value) in model {
                    guard let item = unsafe slab.pointer(id), unsafe item.pointee.value == value else { return record(seed, step, "value") }
                }
            }
        }
    }

    @Test func handlesOfNothing() {
        var slab = Slab<Item>(countMax: 1)
        #expect(unsafe slab.pointer(.none) == nil)
        #expect(unsafe slab.pointer(SlotID(index: 0, generation: 0)) == nil)
        let id = slab.insert(Item(value: 1))
        #expect(id != nil && slab.insert(Item(value: 2)) == nil)
    }

    /// What has ended is found by nobody, although those who hold a pointer still read it, and its slot is not given away before they are
    /// done.
    @Test func retiredIsStaleButThere() throws {
        var slab = Slab<Item>(countMax: 4)
        let inserted = slab.insert(Item(value: 7))
        let id = try #require(inserted)
        let held = unsafe slab.pointer(id)
        let firstTime = slab.retire(id)
        let outcomes = [slab.retire(id), slab.park(id), slab.remove(id)]
        #expect(firstTime && outcomes == [false, false, false])
        let isFound = unsafe slab.pointer(id) != nil
        let value = unsafe held?.pointee.value
        #expect(!isFound && value == 7 && slab.count == 0)
        let tooEarly = slab.reuse()
        #expect(tooEarly == nil)
        slab.park(retired: id)
        let reused = slab.reuse()
        let again = try #require(reused)
        #expect(again.index == id.index && again.generation != id.generation)
        let kept = unsafe slab.pointer(again)?.pointee.value
        #expect(kept == 7)
    }

    /// A parked connection's buffers are freed once, with the slab.
    @Test func everyElementEndsOnce() {
        struct Counted: ~Copyable {
            let counter: Counter
            deinit { counter.ended += 1 }
        }
        final class Counter { var ended = 0 }
        let counter = Counter()
        do {
            var slab = Slab<Counted>(countMax: 200)
            let ids = (0..<100).compactMap { _ in slab.insert(Counted(counter: counter)) }
            for id in ids[..<30] { slab.remove(id) }
            for id in ids[30..<60] { slab.park(id) }
            for _ in 0..<10 { _ = slab.reuse() }
            #expect(counter.ended == 30)
        }
        #expect(counter.ended == 100)
    }

    private func record(_ seed: UInt64, _ step: Int, _ what: String) {
        Issue.record("seed \(seed), step \(step): \(what)")
    }
}

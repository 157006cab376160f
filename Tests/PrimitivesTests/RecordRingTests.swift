import Glibc
import Primitives
import Synchronization
import Testing

@Suite struct RecordRingTests {
    @Test(arguments: [1, 2, 3] as [UInt64])
    func behavesAsAQueue(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let ring = RecordRing(capacity: 4096)
        var model: [[UInt8]] = []
        var dropped: UInt64 = 0
        for step in 0..<20_000 {
            if random.below(3) != 0 {
                let reserved = Int(random.below(1000))
                if let place = unsafe ring.reserve(reserved) {
                    // Less may be published than was reserved.
                    let count = Int(random.below(UInt32(reserved + 1)))
                    let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &+ step) }
                    for (offset, byte) in payload.enumerated() { unsafe place.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self) }
                    ring.publish(count)
                    model.append(payload)
                } else {
                    dropped += 1
                    #expect(!model.isEmpty, "an empty ring refused \(reserved) bytes")
                }
            } else {
                let limit = Int(random.below(8))
                var got: [[UInt8]] = []
                let count = unsafe ring.drain(limit: limit) { unsafe got.append(Array($0)) }
                guard count == min(limit, model.count), got == Array(model.prefix(count)) else {
                    Issue.record("seed \(seed), step \(step): drained \(count)")
                    return
                }
                model.removeFirst(count)
            }
        }
        #expect(ring.dropped.load(ordering: .relaxed) == dropped)
        #expect(dropped > 0, "the ring was never full: the test is too small")
    }

    /// Order kept, nothing lost but what was counted, no byte seen before it was written.
    @Test func twoThreadsAgree() {
        let ring = RecordRing(capacity: 8192)
        let produced = 200_000
        let worker = Producer(ring, produced)
        worker.start()
        var next: UInt64 = 0
        var seen: UInt64 = 0
        var torn = 0
        while true {
            let finished = worker.isFinished.load(ordering: .acquiring)
            let count = unsafe ring.drain(limit: 64) { entry in
                let number = unsafe entry.loadUnaligned(as: UInt64.self)
                if number < next { torn += 1 }
                next = number + 1
                for offset in 8..<entry.count where unsafe entry[offset] != UInt8(truncatingIfNeeded: number) { torn += 1 }
                seen += 1
            }
            if count == 0 {
                if finished { break }
                sched_yield()
            }
        }
        worker.join()
        #expect(torn == 0)
        #expect(seen + ring.dropped.load(ordering: .relaxed) == UInt64(produced))
        #expect(ring.bytesWaiting == 0)
    }

    @Test func anythingUpToHalfTheRingFitsAnEmptyOne() {
        let ring = RecordRing(capacity: 1)
        #expect(ring.capacity == 4096)
        for round in 0..<1000 {
            let size = round * 8 % (ring.capacity / 2 - 8)
            guard unsafe ring.reserve(size) != nil else {
                Issue.record("\(size) bytes refused")
                return
            }
            ring.publish(size)
            #expect(unsafe ring.drain(limit: 10) { _ in } == 1)
        }
        #expect(unsafe ring.reserve(ring.capacity) == nil)
        #expect(ring.dropped.load(ordering: .relaxed) == 1)
    }
}

/// `@unchecked Sendable`: the thread's handle is used by the creator only.
private final class Producer: @unchecked Sendable {
    let ring: RecordRing
    let count: Int
    let isFinished = Atomic<Bool>(false)
    private var thread: pthread_t = 0

    init(_ ring: RecordRing, _ count: Int) {
        self.ring = ring
        self.count = count
    }

    func start() {
        unsafe pthread_create(&thread, nil, { argument in
            if let argument = unsafe argument { unsafe Unmanaged<Producer>.fromOpaque(argument).takeRetainedValue().run() }
            return nil
        }, Unmanaged.passRetained(self).toOpaque())
    }

    func join() { pthread_join(thread, nil) }

    private func run() {
        for number in 0..<count {
            let size = 8 + number * 7 % 90
            if number % 64 == 0 { sched_yield() }
            guard let place = unsafe ring.reserve(size) else { continue }
            unsafe place.storeBytes(of: UInt64(number), as: UInt64.self)
            for offset in 8..<size { unsafe place.storeBytes(of: UInt8(truncatingIfNeeded: number), toByteOffset: offset, as: UInt8.self) }
            ring.publish(size)
        }
        isFinished.store(true, ordering: .releasing)
    }
}

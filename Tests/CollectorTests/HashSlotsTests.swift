@testable import Collector
import Primitives
import TelemetryModel
import Testing

/// The tables that span metrics find their rows, texts and open edges by.
@Suite struct HashSlotsTests {
    /// Hashes that are equal, or begin at the same slot, which random ones hardly ever do.
    private static func hash(_ value: UInt64) -> UInt64 { (value % 3) << 52 | value % 7 << 32 }

    @Test func randomOperationsAreThoseOfADictionary() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = RandomSource(seed: seed)
        var slots = HashSlots()
        var values: [UInt64] = []
        var model: [UInt64: Int] = [:]
        for _ in 0..<20_000 {
            let value = UInt64(random.below(150))
            let found = slots.find(Self.hash(value)) { values[$0] == value }
            #expect(found == model[value], "seed \(seed)")
            if let place = found {
                guard random.below(2) == 0 else { continue }
                slots.remove(Self.hash(value), place)
                model[value] = nil
            } else {
                values.append(value)
                slots.insert(Self.hash(value), values.count - 1)
                model[value] = values.count - 1
            }
            #expect(slots.count == model.count, "seed \(seed)")
        }
    }

    @Test func randomHalvesWaitInTheOrderTheyCame() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = RandomSource(seed: seed)
        var open = OpenEdges(countMax: 40)
        var model: [(id: CallID, since: UInt64)] = []
        for now in 0..<UInt64(5000) {
            let id = CallID(traceLow: UInt64(random.below(8)), spanID: UInt64(random.below(8)))
            let waiting = model.firstIndex { $0.id == id }
            #expect((open.place(of: id) == nil) == (waiting == nil), "seed \(seed)")
            switch random.below(4) {
            case 0:
                if let place = open.place(of: id) { open.remove(at: place) }
                if let waiting { model.remove(at: waiting) }
            case 1:
                let latest = now > 30 ? now - 30 : 0
                let expected = model.first.flatMap { $0.since <= latest ? $0.id : nil }
                let taken = open.takeOldest(since: MonotonicInstant(nanoseconds: latest))
                #expect(taken?.edge.id == expected && taken?.traceHigh == expected.map { $0.traceLow * 10 }, "seed \(seed)")
                if expected != nil { model.removeFirst() }
            default:
                if waiting != nil || open.isFull { continue }
                let edge = OpenEdge(id: id, half: EdgeHalf())
                open.insert(edge, traceHigh: id.traceLow * 10, now: MonotonicInstant(nanoseconds: now))
                model.append((id, now))
            }
            #expect(open.count == model.count, "seed \(seed)")
        }
    }

    @Test func textsKeepTheirNumbersAndLeaveThemWhenUnused() {
        var texts = InternedTexts(countMax: 4, bytesMax: 8)
        let hashing = TextHashing(bytesMax: 8)
        func number(_ text: String) -> UInt32? { texts.number(hashing.textHash(text)) { text } }
        #expect(["a", "bb", "a", "", "ccc", "dddd"].map(number) == [1, 2, 1, 0, 3, 4])
        #expect(number("e") == nil)
        texts.keepUsed { [2, 4] }
        #expect(texts.count == 2 && texts.string(2) == "bb" && number("dddd") == 4)
        let fresh = number("e")
        #expect(fresh == 1 || fresh == 3)
        #expect(texts.isName(2, of: 2) && !texts.isName(2, of: 4))
    }

    /// The newest are known, whatever came before.
    @Test func proxiedCallsForgetTheOldest() {
        var proxied = ProxiedCalls(count: 16)
        func id(_ number: UInt64) -> CallID { CallID(traceLow: 1, spanID: number) }
        #expect(!proxied.hasCall(id(1)))
        for number in UInt64(1)...40 {
            proxied.insert(id(number))
            proxied.insert(id(number))
            for known in UInt64(1)...40 { #expect(proxied.hasCall(id(known)) == (known <= number && known + 16 > number)) }
        }
    }
}

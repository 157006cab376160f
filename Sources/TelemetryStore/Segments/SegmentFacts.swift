internal import TelemetryModel

/// Gathers the digest of a segment being built: what its shapes say at once, and from its spans the values of texts and numbers, and how
/// long each service's spans last.
///
/// A slot is one payload of one list of payloads of one service. It keeps its values while they are few. Part of one `SegmentBuilder`.
struct SegmentFacts: ~Copyable {
    /// Of one segment, payloads that are not looked at among them.
    static let slotsMax = 4096
    /// Of one slot; with more, anything may be among them.
    static let valuesMax = 64
    /// Places for the values seen last, so that most are known without a search. A power of two.
    private static let recentCount = 8

    struct Slot: BitwiseCopyable {
        var key: UInt64
        var scope: UInt64
        var kind: ValueKind
        /// A tag of a kind whose values are noted.
        var isGathered: Bool
        /// There were not too many yet.
        var isOpen: Bool
        /// Place of its first in `values`.
        var valueStart: Int32
        var valueCount: Int32 = 0
    }

    struct ShapePlace: BitwiseCopyable {
        /// Of its first payload.
        var slot: Int32 = 0
        /// Place in `longest`.
        var service: Int32 = 0
    }

    private var shapes = RawBuffer<ShapePlace>(capacity: 512)
    private var slots = RawBuffer<Slot>(capacity: 512)
    /// Code + 1, so that 0 is none; `recentCount` for each slot. No code is the greatest number: numbers have eighteen digits at most.
    private var recent = RawBuffer<UInt64>(capacity: 2048)
    /// Hash of a text, or a number; `valuesMax` for each slot that is gathered.
    private var values = RawBuffer<UInt64>(capacity: 4096)
    /// Microseconds, by service; the first is that of spans without one.
    private var longest = RawBuffer<UInt64>(capacity: 64)
    private var services: [SegmentFact.Scope] = []
    private var isFull = false
    /// The facts, by hash; 0 = free. Twice as many as there may be.
    private var table = RawBuffer<UInt32>(capacity: SegmentDigest.factsMax * 2)
    private var count = 0

    mutating func removeAll() {
        shapes.removeAll()
        slots.removeAll()
        recent.removeAll()
        values.removeAll(keepingAtMost: 1 << 17)
        longest.removeAll()
        services.removeAll(keepingCapacity: true)
        isFull = false
        table.fill(0, count: SegmentDigest.factsMax * 2)
        count = 0
    }

    /// Takes the shapes of a segment that is begun, all of them.
    mutating func begin(_ tables: borrowing SegmentTables) {
        removeAll()
        var rows: [UInt32: Int32] = [0: 0]
        var lists: [UInt64: Int32] = [:]
        services.append(.all)
        longest.append(0)
        for number in 0..<tables.shapes.count {
            guard number > 0, !isFull else { shapes.append(ShapePlace()); continue }
            let name = tables.shapes[number].localService
            let row = rows[name] ?? Int32(services.count)
            if row == services.count {
                rows[name] = row
                services.append(SegmentFact.Scope(service: tables.stringHashes[Int(name) - 1]))
                longest.append(0)
            }
            let scope = services[Int(row)]
            note(tables.shapes[number], scope, tables)
            let key = UInt64(row) << 32 | UInt64(tables.shapes[number].list)
            let start = lists[key] ?? addSlots(tables, number, scope)
            lists[key] = start
            shapes.append(ShapePlace(slot: start, service: row))
        }
    }

    /// What a shape says by its names.
    private mutating func note(_ shape: SpanShape, _ scope: SegmentFact.Scope, _ tables: borrowing SegmentTables) {
        if shape.localService > 0 { insert(.forService(scope)) }
        for scope in SegmentFact.Scope.scopes(ofHash: scope.hash) {
            if shape.name > 0 { insert(.forName(tables.stringHashes[Int(shape.name) - 1], scope)) }
            if shape.remoteService > 0 { insert(.forRemote(tables.stringHashes[Int(shape.remoteService) - 1], scope)) }
            if shape.flags & SpanShape.hasAnnotations != 0 { insert(.forAnnotations(scope)) }
        }
    }

    private mutating func addSlots(_ tables: borrowing SegmentTables, _ shape: Int, _ scope: SegmentFact.Scope) -> Int32 {
        let start = slots.count
        let info = tables.shapeInfos[shape]
        guard start + info.payloadCount <= Self.slotsMax else {
            isFull = true
            return 0
        }
        for index in 0..<info.payloadCount {
            let payload = tables.payloads[info.payloadStart + index]
            let isGathered = payload.isTag && SegmentFact.isGathered(payload.kind)
            slots.append(Slot(
                key: payload.keyHash, scope: scope.hash, kind: payload.kind, isGathered: isGathered, isOpen: isGathered,
                valueStart: Int32(values.count)))
            for _ in 0..<Self.recentCount { recent.append(0) }
            if isGathered { for _ in 0..<Self.valuesMax { values.append(0) } }
            guard payload.isTag else { continue }
            for scope in SegmentFact.Scope.scopes(ofHash: scope.hash) {
                insert(.forKey(payload.keyHash, scope))
                if !isGathered { insert(.forAnyValue(payload.kind, ofKey: payload.keyHash, scope)) }
            }
        }
        return Int32(start)
    }

    /// A span of a shape.
    @inline(__always)
    mutating func note(duration: UInt64, ofShape shape: Int) {
        let row = Int(shapes[shape].service)
        if duration > longest[row] { longest[row] = duration }
    }

    /// Where the payloads of a shape are noted, the first; nil when nothing is gathered any more.
    @inline(__always)
    func firstSlot(ofShape shape: Int) -> Int? { isFull ? nil : Int(shapes[shape].slot) }

    // A slot that had too many values costs a look, a value that was seen lately a comparison, all else is out of line: this is run for
    // most tags of every span.

    @inline(__always)
    mutating func note(number value: UInt64, at slot: Int) {
        if isNew(value, at: slot) { add(value, value, at: slot) }
    }

    /// `number`: a text's in the segment's dictionary + 1; 0 = it is not there, and stands for any.
    @inline(__always)
    mutating func note(text number: Int, _ tables: borrowing SegmentTables, at slot: Int) {
        if isNew(UInt64(truncatingIfNeeded: number), at: slot) { add(text: number, tables, at: slot) }
    }

    /// The same of a template, with the number in it.
    @inline(__always)
    mutating func note(template number: Int, _ value: UInt64, _ tables: borrowing SegmentTables, at slot: Int) {
        // Both in one word; the dictionary has less than 2^16 texts. A wider number stands for any.
        let code = value >> 48 == 0 ? value << 16 | UInt64(truncatingIfNeeded: number) : Self.wideCode
        if isNew(code, at: slot) { add(template: number, value, code, tables, at: slot) }
    }

    private static let wideCode = UInt64.max - 1

    /// Whether a value must be looked at. `code` is another for each.
    @inline(__always)
    private func isNew(_ code: UInt64, at slot: Int) -> Bool { slots[slot].isOpen && recent[recentPlace(code, slot)] != code &+ 1 }

    @inline(__always)
    private func recentPlace(_ code: UInt64, _ slot: Int) -> Int {
        slot &* Self.recentCount &+ Int(truncatingIfNeeded: code & UInt64(Self.recentCount - 1))
    }

    @inline(never)
    private mutating func add(text number: Int, _ tables: borrowing SegmentTables, at slot: Int) {
        add(UInt64(number), number > 0 ? tables.stringHashes[number - 1] : nil, at: slot)
    }

    @inline(never)
    private mutating func add(template number: Int, _ value: UInt64, _ code: UInt64, _ tables: borrowing SegmentTables, at slot: Int) {
        let isKnown = number > 0 && code != Self.wideCode
        add(code, isKnown ? SegmentFact.templateValue(tables.stringHashes[number - 1], value) : nil, at: slot)
    }

    /// `value`: the hash of a text, or the number itself; nil = any may be there from now on.
    @inline(never)
    private mutating func add(_ code: UInt64, _ value: UInt64?, at slot: Int) {
        var info = slots[slot]
        recent[recentPlace(code, slot)] = code &+ 1
        let start = Int(info.valueStart)
        let end = start + Int(info.valueCount)
        if let value {
            for at in start..<end where values[at] == value { return }
        }
        if let value, end < start + Self.valuesMax {
            values[end] = value
            info.valueCount += 1
        } else {
            info.isOpen = false
        }
        slots[slot] = info
    }

    /// The digest; nil when there are more facts than one may have.
    mutating func finish() -> SegmentDigest? {
        for slot in 0..<slots.count {
            let info = slots[slot]
            guard info.isGathered else { continue }
            for scope in SegmentFact.Scope.scopes(ofHash: info.scope) {
                if !info.isOpen { insert(.forAnyValue(info.kind, ofKey: info.key, scope)); continue }
                for at in 0..<Int(info.valueCount) {
                    insert(.forValue(values[Int(info.valueStart) + at], info.kind, ofKey: info.key, scope))
                }
            }
        }
        guard !isFull else { return nil }
        var facts: [UInt32] = []
        facts.reserveCapacity(count)
        for at in 0..<table.count where table[at] != 0 { facts.append(table[at]) }
        let named = (1..<max(1, services.count)).map {
            SegmentDigest.Longest(service: SegmentFact.forService(services[$0]).code, duration: longest[$0])
        }
        return SegmentDigest(facts: facts.sorted(), longest: named)
    }

    private mutating func insert(_ fact: SegmentFact) {
        let mask = table.count - 1
        var slot = Int(fact.code) & mask
        while table[slot] != 0 {
            if table[slot] == fact.code { return }
            slot = (slot + 1) & mask
        }
        guard count < SegmentDigest.factsMax else {
            isFull = true
            return
        }
        table[slot] = fact.code
        count += 1
    }
}

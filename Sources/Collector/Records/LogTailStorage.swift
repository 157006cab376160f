internal import TelemetryModel

/// The last records as they came out of the rings, in one piece of memory. Formatting waits until somebody looks.
///
/// Records lie end to end and the oldest make room; one that would wrap starts again at the front. `places` is a ring of its own:
/// the newest record is `places[(first + count - 1) % places.count]`.
@safe
struct LogTailStorage: ~Copyable {
    private let base: UnsafeMutableRawPointer
    private let byteCapacity: Int
    private struct Place: BitwiseCopyable {
        var offset: Int
        var count: Int
        /// The record's number among all that came; the first is 1.
        var number: UInt64
    }
    private var places: [Place]
    private var first = 0
    private(set) var count = 0
    /// Records that came, kept or not: the number of the newest.
    private(set) var newest: UInt64 = 0
    /// Where the next record goes.
    private var end = 0

    init(recordsMax: Int, bytesMax: Int) {
        byteCapacity = max(bytesMax, 64 * 1024)
        // Not touched before it is needed: pages that are never written cost no memory.
        unsafe base = .allocate(byteCount: byteCapacity, alignment: 64)
        places = [Place](repeating: Place(offset: 0, count: 0, number: 0), count: max(recordsMax, 1))
    }

    deinit { unsafe base.deallocate() }

    @inline(__always)
    mutating func append(_ record: UnsafeRawBufferPointer) {
        newest &+= 1
        guard record.count <= byteCapacity, let source = record.baseAddress else { return }
        if count == places.count { dropOldest() }
        if end + record.count > byteCapacity {
            // What lies between here and the end of the memory belongs to the oldest: it goes first.
            while count > 0, places[first].offset >= end { dropOldest() }
            end = 0
        }
        while count > 0, places[first].offset >= end, places[first].offset < end + record.count { dropOldest() }
        unsafe (base + end).copyMemory(from: source, byteCount: record.count)
        var slot = first + count
        if slot >= places.count { slot -= places.count }
        places[slot] = Place(offset: end, count: record.count, number: newest)
        count += 1
        end += (record.count + 7) & ~7
    }

    private mutating func dropOldest() {
        first += 1
        if first == places.count { first = 0 }
        count -= 1
        if count == 0 { end = 0 }
    }

    /// Records behind number `record` that came and are not kept any more. 0 for a number that has not come yet.
    func missing(after record: UInt64) -> UInt64 {
        let oldest = count > 0 ? places[first].number : newest + 1
        return oldest > record ? oldest - 1 - record : 0
    }

    /// The number of the record `age` steps before the newest; `age < count`.
    func number(age: Int) -> UInt64 { place(age: age).number }

    private func place(age: Int) -> Place {
        precondition(age >= 0 && age < count)
        return places[(first + count - 1 - age) % places.count]
    }

    /// The record `age` steps before the newest; `age < count`. Valid until the next `append`.
    func record(age: Int) -> UnsafeRawBufferPointer {
        let place = place(age: age)
        return unsafe UnsafeRawBufferPointer(start: base + place.offset, count: place.count)
    }
}

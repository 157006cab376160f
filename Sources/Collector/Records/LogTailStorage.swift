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
    }
    private var places: [Place]
    private var first = 0
    private(set) var count = 0
    /// Where the next record goes.
    private var end = 0

    init(recordsMax: Int, bytesMax: Int) {
        byteCapacity = max(bytesMax, 64 * 1024)
        // Not touched before it is needed: pages that are never written cost no memory.
        unsafe base = .allocate(byteCount: byteCapacity, alignment: 64)
        places = [Place](repeating: Place(offset: 0, count: 0), count: max(recordsMax, 1))
    }

    deinit { unsafe base.deallocate() }

    @inline(__always)
    mutating func append(_ record: UnsafeRawBufferPointer) {
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
        places[slot] = Place(offset: end, count: record.count)
        count += 1
        end += (record.count + 7) & ~7
    }

    private mutating func dropOldest() {
        first += 1
        if first == places.count { first = 0 }
        count -= 1
        if count == 0 { end = 0 }
    }

    /// The record `age` steps before the newest; `age < count`. Valid until the next `append`.
    func record(age: Int) -> UnsafeRawBufferPointer {
        precondition(age >= 0 && age < count)
        let place = places[(first + count - 1 - age) % places.count]
        return unsafe UnsafeRawBufferPointer(start: base + place.offset, count: place.count)
    }
}

import TelemetryModel

/// Which exemplars belong together: those of one bucket of a histogram, or of one series of numbers.
struct ExemplarPlace: Hashable, Sendable {
    var series: UInt32
    /// 0 for what is no classic histogram.
    var bucket: UInt16
}

/// An exemplar with its row in the file.
struct ShelvedExemplar: Sendable {
    var row: Int64
    var exemplar: SeriesExemplar
}

/// What a group commit does to the shelf and to its table.
struct ExemplarChange: Sendable {
    /// The whole content of each place that changes.
    var places: [ExemplarPlace: [ShelvedExemplar]] = [:]
    var added: [(place: ExemplarPlace, shelved: ShelvedExemplar)] = []
    /// Rows of the file that go.
    var removedRows: [Int64] = []
    /// Exemplars for which there was no room, or that are not younger than what their place has.
    var dropped = 0

    var isEmpty: Bool { added.isEmpty && removedRows.isEmpty }
}

/// All exemplars, in memory and bounded: each place keeps its newest, and of the older ones those that lie furthest apart. The more places
/// there are the fewer each has, but one. A value, under the lock of `SeriesState`.
struct ExemplarShelf: Sendable {
    static let perPlaceMax = 32
    static let allMax = 100_000

    private(set) var places: [ExemplarPlace: [ShelvedExemplar]] = [:]
    private(set) var count = 0
    private var nextRow: Int64 = 1

    /// What adding these would change. In the order of their times for each place.
    func planning(_ new: [(place: ExemplarPlace, exemplar: SeriesExemplar)]) -> ExemplarChange {
        var change = ExemplarChange()
        var total = count
        var row = nextRow
        for (place, exemplar) in new {
            var list = change.places[place] ?? places[place] ?? []
            let known = places.count + change.added.count
            let room = max(1, min(Self.perPlaceMax, Self.allMax / max(known, 1)))
            guard list.last.map({ $0.exemplar.time < exemplar.time }) ?? true, !list.isEmpty || total < Self.allMax else {
                change.dropped += 1
                continue
            }
            if list.count >= room || total >= Self.allMax {
                let gone = list.remove(at: Self.leastMissed(list, exemplar.time)).row
                total -= 1
                // One of this very group is in no file yet.
                if gone >= nextRow { change.added.removeAll { $0.shelved.row == gone } } else { change.removedRows.append(gone) }
            }
            let shelved = ShelvedExemplar(row: row, exemplar: exemplar)
            row += 1
            total += 1
            list.append(shelved)
            change.places[place] = list
            change.added.append((place, shelved))
        }
        return change
    }

    mutating func apply(_ change: ExemplarChange) {
        for (place, list) in change.places {
            count += list.count - (places[place]?.count ?? 0)
            places[place] = list
        }
        for added in change.added { nextRow = max(nextRow, added.shelved.row + 1) }
    }

    /// From the file, in order of row.
    mutating func load(_ place: ExemplarPlace, _ shelved: ShelvedExemplar) {
        nextRow = max(nextRow, shelved.row &+ 1)
        guard count < Self.allMax, (places[place]?.last?.exemplar.time ?? Int64.min) < shelved.exemplar.time else { return }
        places[place, default: []].append(shelved)
        count += 1
    }

    /// Forgets those before a time.
    mutating func forget(before time: Int64) {
        for (place, list) in places where list[0].exemplar.time < time {
            let kept = list.filter { $0.exemplar.time >= time }
            count -= list.count - kept.count
            places[place] = kept.isEmpty ? nil : kept
        }
    }

    /// The one whose neighbours, or whose successor-to-be, are nearest to each other: its time is told best by others.
    private static func leastMissed(_ list: [ShelvedExemplar], _ next: Int64) -> Int {
        var (least, gap) = (0, Double.infinity)
        for index in list.indices.dropFirst() {
            let after = index + 1 < list.count ? list[index + 1].exemplar.time : next
            let apart = Double(after) - Double(list[index - 1].exemplar.time)
            if apart < gap { (least, gap) = (index, apart) }
        }
        return least
    }
}

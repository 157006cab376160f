/// One group's numbers over its steps, while its series are added one after the other.
struct AggregateColumn {
    private let operation: AggregationOperation
    private let base: Int
    /// Sum, extreme, count or sum of squares, one a step; `Row.absent` before the first sample.
    private var main: [Double]
    /// What the sum lost in rounding, or the mean so far. Empty where neither is wanted.
    private var second: [Double] = []
    /// Samples, where they are wanted.
    private var counts: [Double] = []
    /// Steps whose mean is moved by each sample, as their sum would overflow.
    private var moving: Set<Int> = []

    init(_ operation: AggregationOperation, base: Int, end: Int) {
        self.operation = operation
        self.base = base
        main = Array(repeating: Row.absent, count: end - base)
        let zeros = Array(repeating: 0.0, count: end - base)
        switch operation {
        case .sum: second = zeros
        case .avg, .stddev, .stdvar: (second, counts) = (zeros, zeros)
        default: break
        }
    }

    mutating func add(_ row: Row) {
        let shift = row.base - base
        switch operation {
        case .sum: Self.add(row.values, to: &main, losing: &second, from: shift)
        default: for index in row.values.indices { add(row.values[index], at: index + shift) }
        }
    }

    /// `lost`: what the sums lost in rounding.
    private static func add(_ added: [Double], to sums: inout [Double], losing lost: inout [Double], from shift: Int) {
        let added = added.span
        var sums = sums.mutableSpan
        var lost = lost.mutableSpan
        for index in added.indices where !Row.isAbsent(added[index]) {
            let sum = sums[index + shift]
            if Row.isAbsent(sum) {
                sums[index + shift] = added[index]
                continue
            }
            var kahan = KahanSum(sum)
            kahan.lost = lost[index + shift]
            kahan.add(added[index])
            sums[index + shift] = kahan.sum
            lost[index + shift] = kahan.lost
        }
    }

    mutating func add(_ value: Double, at index: Int) {
        if Row.isAbsent(value) { return }
        let isFirst = Row.isAbsent(main[index])
        switch operation {
        case .sum: Self.add([value], to: &main, losing: &second, from: index)
        case .avg: addToMean(value, at: index, isFirst: isFirst)
        case .min: if isFirst || main[index] > value || main[index].isNaN { main[index] = value }
        case .max: if isFirst || main[index] < value || main[index].isNaN { main[index] = value }
        case .count: main[index] = isFirst ? 1 : main[index] + 1
        case .group: main[index] = 1
        default: addSquare(value, at: index, isFirst: isFirst)
        }
    }

    private mutating func addToMean(_ value: Double, at index: Int, isFirst: Bool) {
        counts[index] += 1
        if isFirst { main[index] = value; return }
        let count = counts[index]
        var kahan = KahanSum(main[index])
        kahan.lost = second[index]
        if !moving.contains(index) {
            var next = kahan
            next.add(value)
            if !next.sum.isInfinite {
                (main[index], second[index]) = (next.sum, next.lost)
                return
            }
            moving.insert(index)
            kahan.sum /= count - 1
            kahan.lost /= count - 1
        }
        let share = (count - 1) / count
        kahan.sum *= share
        kahan.lost *= share
        kahan.add(value / count)
        (main[index], second[index]) = (kahan.sum, kahan.lost)
    }

    /// Welford's mean and sum of squares.
    private mutating func addSquare(_ value: Double, at index: Int, isFirst: Bool) {
        counts[index] += 1
        if isFirst {
            main[index] = value.isFinite ? 0 : .nan
            second[index] = value
            return
        }
        let distance = value - second[index]
        second[index] += distance / counts[index]
        main[index] += distance * (value - second[index])
    }

    /// The results, one a step.
    var values: [Double] {
        var result = main
        for index in result.indices where !Row.isAbsent(result[index]) {
            switch operation {
            case .sum: result[index] += second[index]
            case .avg:
                result[index] = moving.contains(index)
                    ? main[index] + second[index] : main[index] / counts[index] + second[index] / counts[index]
            case .stdvar: result[index] /= counts[index]
            case .stddev: result[index] = (result[index] / counts[index]).squareRoot()
            default: break
            }
        }
        return result
    }
}

/// The k greatest or smallest of the samples offered, with Go's heap (container/heap), so that of equal ones the same are kept.
struct Ranking {
    private let k: Int
    private let keepsGreatest: Bool
    /// The first is the one to go next.
    private var heap: [(value: Double, member: Int)] = []

    init(_ k: Int, keepsGreatest: Bool) {
        self.k = k
        self.keepsGreatest = keepsGreatest
    }

    private func goesBefore(_ left: Double, _ right: Double) -> Bool { left.isNaN || (keepsGreatest ? left < right : left > right) }

    mutating func offer(_ value: Double, _ member: Int) {
        if heap.count < k {
            heap.append((value, member))
            rise(heap.count - 1)
        } else if (keepsGreatest ? heap[0].value < value : heap[0].value > value) || (heap[0].value.isNaN && !value.isNaN) {
            heap[0] = (value, member)
            sink(0)
        }
    }

    private mutating func rise(_ start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard goesBefore(heap[index].value, heap[parent].value) else { return }
            heap.swapAt(index, parent)
            index = parent
        }
    }

    private mutating func sink(_ start: Int) {
        var index = start
        while 2 * index + 1 < heap.count {
            var child = 2 * index + 1
            if child + 1 < heap.count, goesBefore(heap[child + 1].value, heap[child].value) { child += 1 }
            guard goesBefore(heap[child].value, heap[index].value) else { return }
            heap.swapAt(index, child)
            index = child
        }
    }

    /// The best first; NaN last.
    var sorted: [(value: Double, member: Int)] {
        var indexed = Array(heap.enumerated())
        indexed.sort { left, right in
            let (mine, theirs) = (left.element.value, right.element.value)
            if mine.isNaN || theirs.isNaN { return mine.isNaN == theirs.isNaN ? left.offset < right.offset : theirs.isNaN }
            if mine == theirs { return left.offset < right.offset }
            return keepsGreatest ? mine > theirs : mine < theirs
        }
        return indexed.map(\.element)
    }
}

internal import TelemetryWire

/// The beginnings of points as JSON, such as `[1700000000.5,`. Most series of a result have the same times, so each is written out once.
struct PointBeginnings {
    /// Milliseconds, ascending. A time that would have to stand between others is left out.
    private var times: [Int64] = []
    private var bytes: [UInt8] = []
    /// Where the beginning at each time ends in `bytes`.
    private var ends: [Int] = []
    /// The one that is wanted next, probably.
    private var next = 0

    /// Times ascend from here on until the next call.
    mutating func startSeries() { next = 0 }

    mutating func append(_ time: Int64, to output: inout [UInt8]) {
        while next < times.count, times[next] < time { next += 1 }
        if next == times.count {
            Self.write(time, to: &bytes)
            times.append(time)
            ends.append(bytes.count)
        }
        guard times[next] == time else { return Self.write(time, to: &output) }
        copy(next, to: &output)
        next += 1
    }

    private func copy(_ number: Int, to output: inout [UInt8]) {
        let known = bytes.span
        let range = (number == 0 ? 0 : ends[number - 1])..<ends[number]
        output.append(addingCapacity: range.count) { room in for index in range { room.append(known[index]) } }
    }

    private static func write(_ time: Int64, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "["))
        appendSeconds(time, to: &bytes)
        bytes.append(UInt8(ascii: ","))
    }

    /// Appends milliseconds since 1970 as seconds, with three digits behind the point or none.
    static func appendSeconds(_ time: Int64, to bytes: inout [UInt8]) {
        let size = time.magnitude
        if time < 0 { bytes.append(UInt8(ascii: "-")) }
        bytes.append(decimal: size / 1000)
        guard size % 1000 > 0 else { return }
        bytes.append(UInt8(ascii: "."))
        bytes.append(decimal: size % 1000, width: 3)
    }
}

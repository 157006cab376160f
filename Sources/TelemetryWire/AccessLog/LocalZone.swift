internal import Glibc
internal import Synchronization

/// The local time zone at one moment, as strftime's `%z` and `%Z` print it.
struct ZoneReading: Sendable {
    static let nameBytesMax = 16
    static let utc = ZoneReading(offsetSeconds: 0, name: Array("UTC".utf8))

    /// East of Greenwich is positive.
    let offsetSeconds: Int
    private let nameBytes: InlineArray<16, UInt8>
    private let nameCount: Int

    /// What is longer than `nameBytesMax` is cut; the names of the zone database have at most six bytes.
    init(offsetSeconds: Int, name: [UInt8]) {
        self.offsetSeconds = offsetSeconds
        var bytes = InlineArray<16, UInt8>(repeating: 0)
        nameCount = min(name.count, Self.nameBytesMax)
        for index in 0..<nameCount { bytes[index] = name[index] }
        nameBytes = bytes
    }

    func appendName(to bytes: inout [UInt8]) {
        for index in 0..<nameCount { bytes.append(nameBytes[index]) }
    }

    /// The name as C has texts.
    var nameText: [CChar] {
        var text: [CChar] = []
        for index in 0..<nameCount { text.append(CChar(bitPattern: nameBytes[index])) }
        text.append(0)
        return text
    }

    /// `-0500`, `-05:00` or `-05:00:00`.
    func appendOffset(withColon: Bool = false, withSeconds: Bool = false, to bytes: inout [UInt8]) {
        let seconds = UInt64(abs(offsetSeconds))
        bytes.append(offsetSeconds < 0 ? UInt8(ascii: "-") : UInt8(ascii: "+"))
        bytes.append(decimal: seconds / 3600, width: 2)
        if withColon { bytes.append(UInt8(ascii: ":")) }
        bytes.append(decimal: seconds / 60 % 60, width: 2)
        guard withSeconds else { return }
        bytes.append(UInt8(ascii: ":"))
        bytes.append(decimal: seconds % 60, width: 2)
    }
}

/// What the C library says of the local zone (`TZ`, else `/etc/localtime`), asked once for each minute that is logged.
///
/// Every change of a zone since 1973 falls on a whole minute of UTC (looked up in all zones of the IANA database), so a reading holds for
/// all of its own. Not on a quarter of an hour: Newfoundland changed at 00:01 until 2011. Any thread; a lock around a few words, taken
/// only for lines that print local time.
struct LocalZone: ~Copyable, Sendable {
    static let shared = LocalZone()

    private struct State {
        /// Seconds since 1970 divided by `secondsPerReading`; `UInt64.max` = nothing has been read.
        var period = UInt64.max
        var reading = ZoneReading.utc
    }

    private static let secondsPerReading: UInt64 = 60
    private let state = Mutex(State())

    func reading(at unixSeconds: UInt64) -> ZoneReading {
        state.withLock { state in
            let period = unixSeconds / Self.secondsPerReading
            if state.period != period {
                state.period = period
                state.reading = Self.read(unixSeconds)
            }
            return state.reading
        }
    }

    private static func read(_ unixSeconds: UInt64) -> ZoneReading {
        var seconds = time_t(clamping: unixSeconds)
        var broken = unsafe tm()
        guard unsafe localtime_r(&seconds, &broken) != nil else { return .utc }
        var name: [UInt8] = []
        if var at = unsafe broken.tm_zone {
            while name.count < ZoneReading.nameBytesMax, unsafe at.pointee != 0 {
                unsafe name.append(UInt8(bitPattern: at.pointee))
                unsafe at += 1
            }
        }
        return unsafe ZoneReading(offsetSeconds: broken.tm_gmtoff, name: name)
    }
}

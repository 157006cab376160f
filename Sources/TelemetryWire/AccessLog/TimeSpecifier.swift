internal import Glibc

/// One specifier of a time pattern: strftime's, with Envoy's `%f` forms and Abseil's `%E` forms, which Envoy passes on
/// (abseil.io, "absl::FormatTime"; strftime(3)).
struct TimeSpecifier {
    enum Kind {
        /// A letter that `AccessLogTime` writes itself.
        case plain(UInt8)
        /// Of a second, this many digits; nil = as many as it needs.
        case fraction(digits: Int?)
        /// `05.123`
        case secondsWithFraction(digits: Int?)
        /// `+02:00`, or `+02:00:00`.
        case offset(hasSeconds: Bool)
        /// What the C library writes: letters seldom used, and those with flags or a width.
        case library([UInt8])
    }

    /// Widest field that may be asked for.
    static let widthMax = 32
    private static let ownLetters = Set("YmdeHIMSpyjaAbBhFTDRZzsNnt%".utf8)
    private static let libraryLetters = Set("cCgGkklPruUVwWxX".utf8)
    private static let flags = Set("-_0^#".utf8)

    let kind: Kind
    /// Index behind it.
    let end: Int

    /// Nil when what follows the `%` at `start` is no specifier.
    init?(_ pattern: [UInt8], at start: Int) {
        func byte(_ index: Int) -> UInt8 { index < pattern.count ? pattern[index] : 0 }
        let first = byte(start + 1)
        if Self.ownLetters.contains(first) {
            self.init(.plain(first), start + 2)
        } else if first == UInt8(ascii: "f") {
            self.init(.fraction(digits: 9), start + 2)
        } else if (0x31...0x39).contains(first), byte(start + 2) == UInt8(ascii: "f") {
            self.init(.fraction(digits: Int(first &- 0x30)), start + 3)
        } else if first == UInt8(ascii: ":") {
            var colons = 1
            while colons < 3, byte(start + 1 + colons) == UInt8(ascii: ":") { colons += 1 }
            guard byte(start + 1 + colons) == UInt8(ascii: "z") else { return nil }
            self.init(.offset(hasSeconds: colons > 1), start + colons + 2)
        } else if first == UInt8(ascii: "E"), let extended = Self.extended(byte(start + 2), byte(start + 3)) {
            self.init(extended.kind, start + 2 + extended.length)
        } else {
            var at = start + 1
            while Self.flags.contains(byte(at)) { at += 1 }
            var width = 0
            while (0x30...0x39).contains(byte(at)), width <= Self.widthMax {
                width = width * 10 + Int(byte(at) &- 0x30)
                at += 1
            }
            if byte(at) == UInt8(ascii: "E") || byte(at) == UInt8(ascii: "O") { at += 1 }
            let letter = byte(at)
            // A fraction is none of the library's.
            guard width <= Self.widthMax, letter != UInt8(ascii: "N"),
                Self.libraryLetters.contains(letter) || Self.ownLetters.contains(letter)
            else { return nil }
            self.init(.library(Array(pattern[start...at])), at + 1)
        }
    }

    private init(_ kind: Kind, _ end: Int) {
        self.kind = kind
        self.end = end
    }

    /// Abseil's own, behind `%E`.
    private static func extended(_ first: UInt8, _ second: UInt8) -> (kind: Kind, length: Int)? {
        let isDigit = (0x30...0x39).contains(first)
        let digits = isDigit ? Int(first &- 0x30) : nil
        switch (first, second) {
        case (UInt8(ascii: "z"), _): return (.offset(hasSeconds: false), 1)
        case (UInt8(ascii: "*"), UInt8(ascii: "z")): return (.offset(hasSeconds: true), 2)
        case (UInt8(ascii: "T"), _): return (.library(Array("T".utf8)), 1)
        case (UInt8(ascii: "4"), UInt8(ascii: "Y")): return (.library(Array("%4Y".utf8)), 2)
        case (_, UInt8(ascii: "S")) where isDigit || first == UInt8(ascii: "*"): return (.secondsWithFraction(digits: digits), 2)
        case (_, UInt8(ascii: "f")) where isDigit || first == UInt8(ascii: "*"): return (.fraction(digits: digits), 2)
        default: return nil
        }
    }
}

/// What strftime(3) writes in the C locale.
enum StrftimeText {
    /// Bytes of one specifier's text; `TimeSpecifier.widthMax` and the longest of the C locale are below.
    private static let bytesMax = 128

    static func append(_ pattern: [UInt8], _ civil: AccessLogTime.Civil, _ zone: ZoneReading, to bytes: inout [UInt8]) {
        var broken = unsafe tm()
        unsafe broken.tm_year = Int32(clamping: civil.year - 1900)
        unsafe broken.tm_mon = Int32(clamping: civil.month - 1)
        unsafe broken.tm_mday = Int32(clamping: civil.day)
        unsafe broken.tm_hour = Int32(clamping: civil.hour)
        unsafe broken.tm_min = Int32(clamping: civil.minute)
        unsafe broken.tm_sec = Int32(clamping: civil.second)
        unsafe broken.tm_wday = Int32(clamping: civil.dayOfWeek)
        unsafe broken.tm_yday = Int32(clamping: civil.dayOfYear - 1)
        unsafe broken.tm_gmtoff = zone.offsetSeconds
        unsafe zone.nameText.withUnsafeBufferPointer { zoneName in
            unsafe broken.tm_zone = zoneName.baseAddress
            unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytesMax) { out in
                guard let start = out.baseAddress else { return }
                let format = pattern.map { CChar(bitPattern: $0) } + [0]
                let count = unsafe strftime(start, bytesMax, format, &broken)
                for index in 0..<count { unsafe bytes.append(UInt8(bitPattern: out[index])) }
            }
        }
    }
}

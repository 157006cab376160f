internal import HTTP
internal import Primitives

/// `grpc-timeout` (gRPC over HTTP/2): up to eight digits and a unit.
enum GRPCTimeout {
    /// Nanoseconds; nil = no such value, or one beyond a year.
    static func parse(_ value: UnsafeRawBufferPointer) -> UInt64? {
        guard value.count >= 2, value.count <= 9, let number = unsafe ASCII.decimal(UnsafeRawBufferPointer(rebasing: value[..<(value.count - 1)]))
        else { return nil }
        let unit: UInt64
        switch unsafe value[value.count - 1] {
        case UInt8(ascii: "H"): unit = 3_600_000_000_000
        case UInt8(ascii: "M"): unit = 60_000_000_000
        case UInt8(ascii: "S"): unit = 1_000_000_000
        case UInt8(ascii: "m"): unit = 1_000_000
        case UInt8(ascii: "u"): unit = 1_000
        case UInt8(ascii: "n"): unit = 1
        default: return nil
        }
        // 99,999,999 hours do not fit: as good as no limit.
        let (product, overflow) = number.multipliedReportingOverflow(by: unit)
        return overflow || product > 365 * 86_400_000_000_000 ? nil : max(1, product)
    }
}

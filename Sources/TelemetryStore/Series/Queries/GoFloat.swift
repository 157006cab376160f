/// Floats as Go's `strconv.FormatFloat(value, 'g', -1, 64)` writes them, and so Prometheus in its labels `le`: the shortest digits that
/// come back; with an exponent below −4 and from 6 on (strconv/ftoa.go: "if precision was the shortest possible, use precision 6 for this
/// decision").
enum GoFloat {
    private static let exponents = -4..<6

    static func text(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == 0 { return value.sign == .minus ? "-0" : "0" }
        let (digits, exponent) = shortest(value.magnitude)
        return (value < 0 ? "-" : "") + (exponents.contains(exponent) ? plainText(digits, exponent) : scientific(digits, exponent))
    }

    /// Significant digits, and the decimal exponent of the first.
    private static func shortest(_ value: Double) -> (digits: [Character], exponent: Int) {
        let parts = "\(value)".split(separator: "e")
        var exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        var digits = mantissa.flatMap { Array($0) }
        exponent += (mantissa.first?.count ?? 1) - 1
        while digits.count > 1, digits.first == "0" {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.count > 1, digits.last == "0" { digits.removeLast() }
        return (digits, exponent)
    }

    private static func scientific(_ digits: [Character], _ exponent: Int) -> String {
        let fraction = digits.count > 1 ? "." + String(digits.dropFirst()) : ""
        let power = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
        return "\(digits[0])\(fraction)e\(exponent < 0 ? "-" : "+")\(power)"
    }

    private static func plainText(_ digits: [Character], _ exponent: Int) -> String {
        if exponent < 0 { return "0." + String(repeating: "0", count: -exponent - 1) + String(digits) }
        if digits.count <= exponent + 1 { return String(digits) + String(repeating: "0", count: exponent + 1 - digits.count) }
        return String(digits[...exponent]) + "." + String(digits[(exponent + 1)...])
    }
}

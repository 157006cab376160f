internal import Foundation

/// Names from the wire on their way to a terminal: nothing that it would act upon gets there, and how many columns the rest takes is known.
enum SafeText {
    /// Characters of a name that are looked at; what is behind them is cut.
    static let scalarsMax = 512
    /// Stands for each character that is left out.
    private static let replacement: Unicode.Scalar = "\u{FFFD}"

    /// Control characters (escape sequences begin with one), marks that turn the writing direction or are not seen, and what has no
    /// character (surrogates, private use, unassigned) become U+FFFD each. A combining mark with nothing before it does too.
    static func clean(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        var marks = 0
        for scalar in text.unicodeScalars.prefix(scalarsMax) {
            let isMark = isCombining(scalar)
            marks = isMark ? marks + 1 : 0
            let isGood = !isHidden(scalar) && !(isMark && (result.isEmpty || marks > marksMax))
            result.append(isGood ? scalar : replacement)
        }
        return String(result)
    }

    /// JSON whose strings have escapes instead of characters that a terminal may act upon. Line feeds between the values stay.
    static func escaped(json: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in json.unicodeScalars {
            guard scalar != "\n", isHidden(scalar) else {
                result.append(scalar)
                continue
            }
            for unit in String(scalar).utf16 {
                let digits = String(unit, radix: 16)
                result.append(contentsOf: ("\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits).unicodeScalars)
            }
        }
        return String(result)
    }

    /// Combining marks on one character; more would pile up over the lines around it.
    private static let marksMax = 2

    private static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: true
        // Fillers and other letters that nobody sees.
        default: scalar.properties.isDefaultIgnorableCodePoint || isRightToLeft(scalar)
        }
    }

    /// Scripts written from right to left: a terminal that reorders them would move the columns behind them.
    private static func isRightToLeft(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x0590...0x08FF, 0xFB1D...0xFDFF, 0xFE70...0xFEFF, 0x10800...0x10FFF, 0x1E800...0x1EFFF: true
        default: false
        }
    }

    private static func isCombining(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .spacingMark: true
        default: false
        }
    }

    /// Columns of a terminal that clean text takes.
    static func width(_ text: String) -> Int { text.unicodeScalars.reduce(0) { $0 + width($1) } }

    private static func width(_ scalar: Unicode.Scalar) -> Int {
        if scalar.value < 0x300 { return 1 }
        if isCombining(scalar) { return 0 }
        return isWide(scalar) ? 2 : 1
    }

    /// East Asian wide and fullwidth characters, and emoji (Unicode Standard Annex 11).
    private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x1100...0x115F, 0x231A...0x231B, 0x2329...0x232A, 0x23E9...0x23EC, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF,
            0x4E00...0x9FFF, 0xA000...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
            0xFFE0...0xFFE6, 0x16FE0...0x18DFF, 0x1AFF0...0x1B2FF, 0x1F1E6...0x1F1FF, 0x20000...0x3FFFD:
            true
        default: scalar.properties.isEmojiPresentation
        }
    }

    /// Clean text in exactly `columns`: filled with blanks, or cut with `…` at its end.
    static func fitted(_ text: String, _ columns: Int, rightAligned: Bool = false) -> String {
        let columns = max(0, columns)
        var result = text
        var used = width(text)
        if used > columns {
            result = ""
            used = 0
            for scalar in text.unicodeScalars {
                guard used + width(scalar) <= columns - 1 else { break }
                result.unicodeScalars.append(scalar)
                used += width(scalar)
            }
            if columns > 0 {
                result += "…"
                used += 1
            }
        }
        let blanks = String(repeating: " ", count: columns - used)
        return rightAligned ? blanks + result : result + blanks
    }
}

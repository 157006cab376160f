/// What is said beside an answer that is not whole, and instead of one that is too large.
enum TraceScanNotice {
    /// Formats that have no place for it get a field (RFC 7234 section 5.5.7: 299, a lasting warning).
    static func warningFields(_ cut: String?) -> [(name: String, value: String)] {
        cut.map { [("Warning", "299 - \"\($0)\"")] } ?? []
    }

    static func checkSize(_ bytes: Int) throws(ParameterError) {
        guard bytes < ZipkinLimits.answerBytesMax else {
            throw ParameterError(
                text: "the answer is larger than \(ZipkinLimits.answerBytesMax) bytes; lower limit or narrow the time range")
        }
    }
}

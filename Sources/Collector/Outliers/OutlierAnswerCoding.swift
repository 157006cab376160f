public import OutlierDetection
public import TelemetryWire

/// The answer to a report that said what its sender saw of endpoints: the collector's word (docs/formats/report.md, "Answer"). Pure.
public enum OutlierAnswerCoding {
    public static let contentType = "application/vnd.skein.report-answer"
    static let magic = Array("SKA1".utf8)
    /// What an answer may name: what a sender can report.
    static let ejectionsMax = 65_536

    public static func encode(_ word: MeshWord, sequence: UInt64) -> [UInt8] {
        var bytes = magic
        ReportBytes.append(varint: sequence, to: &bytes)
        ReportBytes.append(word: word.epoch, to: &bytes)
        ReportBytes.append(varint: word.generation, to: &bytes)
        bytes.append(word.isUnchanged ? 1 : 0)
        if word.isUnchanged { return bytes }
        let ejections = word.ejections.prefix(ejectionsMax)
        ReportBytes.append(varint: UInt64(ejections.count), to: &bytes)
        for ejection in ejections {
            ReportBytes.append(Array(ejection.cluster.utf8)[...], to: &bytes)
            AddressCoding.append(ejection.endpoint, to: &bytes)
            ReportBytes.append(varint: UInt64(ejection.reason.rawValue), to: &bytes)
            ReportBytes.append(varint: ejection.nanosecondsLeft / 1_000_000, to: &bytes)
        }
        return bytes
    }

    public static func decode(_ bytes: [UInt8]) throws(ReportFault) -> MeshWord {
        var reader = ReportReader(bytes)
        try reader.expect(magic)
        _ = try reader.varint()
        let epoch = try reader.word()
        var word = MeshWord(epoch: epoch, generation: try reader.varint())
        word.isUnchanged = try reader.byte() & 1 != 0
        if word.isUnchanged { return word }
        for _ in 0..<(try reader.count(most: ejectionsMax)) {
            let cluster = try reader.text(most: OutlierReportCoding.nameBytesMax)
            let address = try AddressCoding.read(&reader)
            let reason = try ReasonCoding.read(&reader)
            let left = try reader.varint().multipliedReportingOverflow(by: 1_000_000)
            word.ejections.append(
                MeshWord.Ejection(
                    cluster: cluster, endpoint: address, reason: reason, nanosecondsLeft: left.overflow ? .max : left.partialValue))
        }
        return word
    }
}

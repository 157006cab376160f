@testable import CertificateAuthority
import Testing

/// The log says what happened, also after a stop in the middle of a line.
@Suite struct IssuedLogTests {
    private static func record(_ number: Int, notAfter: Int64) -> IssuedCertificate {
        IssuedCertificate(
            kind: number % 3 == 0 ? .server : .workload, serial: String(1000 + number, radix: 16), authority: "ab", root: "cd",
            notBefore: 5, notAfter: notAfter, names: number % 3 == 0 ? ["a", "b"] : ["spiffe://cluster.local/ns/default/sa/n\(number)"])
    }

    /// Against a plain list, read again after each step.
    @Test func randomHistoriesAreReadBack() throws {
        let seed = UInt64.random(in: .min ... .max)
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var (file, model, log) = ([UInt8](), [IssuedCertificate](), IssuedLog())
        for step in 0..<300 {
            let bytes: [UInt8]
            if model.isEmpty || random(3) > 0 {
                let record = Self.record(step, notAfter: Int64(random(1000)) * UnixTime.day)
                model.append(record)
                bytes = log.line(of: record)
            } else {
                let place = random(model.count)
                bytes = log.lines(revoking: [model[place].serial], at: Int64(step))
                if model[place].revokedAt == nil { model[place].revokedAt = Int64(step) }
            }
            file += bytes
            try log.didAppend(bytes, file: "issued.log")
            // The half of a line behind it was never counted.
            let torn = file + Array("issued\tworkl".utf8).prefix(random(13))
            let read = try IssuedLog(torn, file: "issued.log")
            #expect(read.records == model && log.records == model && read.wholeBytes == file.count, "seed \(seed), step \(step)")
        }
        let now = 500 * UnixTime.day
        let kept = try IssuedLog(log.compacted(now: now), file: "issued.log")
        #expect(kept.records == model.filter { $0.notAfter >= now - IssuedLog.keptAfterEnd }, "seed \(seed)")
        #expect(try IssuedLog(log.compacted(now: .max), file: "").records.isEmpty)
    }

    @Test(arguments: [
        "hello\n", "skein-ca 2\n", "skein-ca 1\nissued\n", "skein-ca 1\n\n", "skein-ca 1\nrevoked\tab\t1\n",
        "skein-ca 1\nissued\tworkload\tab\tcd\tef\t1\t99999999999999999999\ta\n",
        "skein-ca 1\nissued\tworkload\tAB\tcd\tef\t1\t2\ta\n", "skein-ca 1\nissued\tother\tab\tcd\tef\t1\t2\ta\n",
        "skein-ca 1\nissued\tserver\tab\tcd\tef\t1\t2\ta\nissued\tserver\tab\tcd\tef\t1\t2\ta\n",
    ])
    func aLineThatCannotBeReadHasItsNumber(_ text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).count - 1
        #expect { try IssuedLog(Array(text.utf8), file: "issued.log") } throws: { "\($0)".hasPrefix("issued.log:\(lines) ") }
    }
}

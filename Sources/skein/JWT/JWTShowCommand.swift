internal import ArgumentParser
internal import CertificateAuthority
internal import JOSE
internal import Primitives

struct JWTShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Print what a token says, without verifying it.",
        discussion: """
            Exits 65 for what is no token, with the reason that a proxy would give. On the command line a token is seen by every user of the
            machine: give - and it is read from standard input.

            EXAMPLES
              skein jwt show - < token
              skein jwt show -o json - < token | jq .payload
            """)

    @OptionGroup var token: TokenArgument

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    func run() throws {
        var reader = TokenReader()
        if let fault = reader.read(text: try token.text()) {
            complain("skein: no token that is supported: \(fault)")
            throw ExitStatus.badInput
        }
        let (header, payload) = (SafeText.escaped(json: reader.headerText.text), SafeText.escaped(json: reader.payloadText.text))
        switch output {
        case .json: print("{\"verified\":false,\"header\":\(header),\"payload\":\(payload)}")
        case .text:
            let style = TerminalStyle.standardOutput
            print(style.paint("not verified: whoever wrote this may have written anything", TerminalStyle.yellow))
            print("header   \(header)")
            print("payload  \(payload)")
            print("signed   \(reader.algorithm?.description ?? "-"), \(reader.signature.count) bytes")
            for (name, time) in [("issued", reader.issuedAt), ("valid", reader.notBefore), ("expires", reader.expiry)] {
                if let time { print(name.padding(to: 9) + JWTTimes.text(time, now: CAOptions.now)) }
            }
        }
    }
}

/// Times of tokens, for people.
enum JWTTimes {
    /// `2026-11-30T10:00:00Z, in 59m12s`. What is beyond the calendar stays a number.
    static func text(_ seconds: Int64, now: Int64) -> String {
        guard (-62_135_596_800...253_402_300_799).contains(seconds) else { return "\(seconds)" }
        return UnixTime.text(seconds) + (seconds >= now ? ", in \(UnixTime.span(seconds - now))" : ", \(UnixTime.span(now - seconds)) ago")
    }
}

extension String {
    fileprivate func padding(to count: Int) -> String { self + String(repeating: " ", count: max(0, count - self.count)) }
}

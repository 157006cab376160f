internal import ArgumentParser
internal import Foundation
internal import JOSE
internal import MeshRuntime

struct JWTIssueCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "issue",
        abstract: "Print a signed token.",
        discussion: """
            A claim is NAME=TEXT, or NAME:=JSON for numbers, lists and objects. Times are from now on, or from --issued-at: with a time in
            the past the token has expired, to try that too.

            EXAMPLES
              skein jwt issue --key key.pem --issuer https://issuer.example --subject alice
              skein jwt issue --key key.pem --issuer me --subject alice --audience shop --claim group=admins --expires 5m
              skein jwt issue --key key.pem --issuer me --subject alice --claim 'realm_access:={"roles":["user"]}'
              curl -H "Authorization: Bearer $(skein jwt issue --key key.pem --issuer me --subject alice)" http://shop/
            """)

    @Option(help: "File with the private key.", completion: .file(extensions: ["pem"]))
    var key: String

    @Option(help: "Who says so: iss.")
    var issuer: String

    @Option(help: "Of whom: sub.")
    var subject: String

    @Option(parsing: .singleValue, help: "For whom: aud; may be repeated.")
    var audience: [String] = []

    @Option(parsing: .singleValue, help: "Another claim, NAME=TEXT or NAME:=JSON; may be repeated.")
    var claim: [TokenClaim] = []

    @Option(help: "How long it is valid, such as 1h: exp.")
    var expires = Lifetime(seconds: 3600)

    @Option(help: "After how long it becomes valid, such as 5m: nbf.")
    var notBefore: Lifetime?

    @Option(help: "When it was made, in seconds since 1970: iat; default now.")
    var issuedAt: Int64?

    @Option(name: .shortAndLong, help: "What to sign with; default RS256 for RSA keys, and what the curve has for others.")
    var algorithm: KeyPairAlgorithm?

    @Option(help: "The key's name in the set instead of its thumbprint.")
    var kid: String?

    func validate() throws {
        var seen: Set<String> = []
        for one in claim {
            if let option = Self.options[one.name] { throw ValidationError("the claim \(one.name) is set by \(option)") }
            if !seen.insert(one.name).inserted { throw ValidationError("the claim \(one.name) is given twice; a list is NAME:=[...]") }
        }
    }

    func run() throws {
        let key = try JWTFiles.key(key)
        do { print(try TokenSigner(key, algorithm: algorithm?.algorithm, keyID: kid).sign(payload: payload)) } catch {
            complain("skein: no token was made: \(error)")
            throw ExitStatus.badInput
        }
    }

    private static let options = [
        "iss": "--issuer", "sub": "--subject", "aud": "--audience", "exp": "--expires", "nbf": "--not-before", "iat": "--issued-at",
    ]

    private var payload: String {
        let start = issuedAt ?? CAOptions.now
        var members = ["\"iss\":\(JSONText.quote(issuer))", "\"sub\":\(JSONText.quote(subject))"]
        if audience.count == 1 { members.append("\"aud\":\(JSONText.quote(audience[0]))") }
        if audience.count > 1 { members.append("\"aud\":[\(audience.map(JSONText.quote).joined(separator: ","))]") }
        members.append("\"iat\":\(start)")
        if let notBefore { members.append("\"nbf\":\(Self.sum(start, notBefore.seconds))") }
        members.append("\"exp\":\(Self.sum(start, expires.seconds))")
        return "{\((members + claim.map { "\(JSONText.quote($0.name)):\($0.json)" }).joined(separator: ","))}"
    }

    private static func sum(_ left: Int64, _ right: Int64) -> Int64 {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? .max : sum
    }
}

/// `NAME=TEXT` or `NAME:=JSON`.
struct TokenClaim: ExpressibleByArgument, Equatable {
    var name: String
    /// The value, JSON.
    var json: String

    init?(argument: String) {
        guard let equals = argument.firstIndex(of: "=") else { return nil }
        let value = String(argument[argument.index(after: equals)...])
        let name = argument[..<equals]
        if name.last == ":" {
            guard (try? JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)) != nil else { return nil }
            self.name = String(name.dropLast())
            json = value
        } else {
            self.name = String(name)
            json = JSONText.quote(value)
        }
        if self.name.isEmpty { return nil }
    }
}

internal import ArgumentParser
internal import CertificateAuthority
internal import Foundation
internal import MeshRuntime
internal import TLS

struct CASignCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign",
        abstract: "Sign a workload's certificate request.",
        discussion: """
            Takes a PKCS #10 request in PEM, whose key stays where it was made, and prints the certificate and what stands between it and a
            root. The identity is the request's URI name; nothing else of what it wishes is looked at.

            EXAMPLES
              skein ca sign request.pem > tls.crt
              skein ca sign request.pem --as default/reviews --out tls.crt
              openssl req -new -key tls.key -subj / | skein ca sign - --as default/reviews
            """)

    @OptionGroup var options: CAOptions

    @Argument(help: "File with the request; - for standard input.", completion: .file())
    var request: String

    @Option(name: .customLong("as"), help: "Whose certificate it is, where the request does not say: NAMESPACE/SERVICE-ACCOUNT.")
    var identity: String?

    @Option(help: "File for the certificate instead of standard output.", completion: .file())
    var out: String?

    @Option(help: "How long the certificate is valid, such as 24h; 366d at most.")
    var lifetime = Lifetime(seconds: Authority.leafSecondsDefault)

    func run() throws {
        let request = try readRequest()
        let issued = try CAOptions.explaining {
            var authority = try Authority(openIn: options.directory)
            let id = try identity.map { try authority.identity($0) }
            return try authority.sign(request, as: id, seconds: lifetime.seconds, now: CAOptions.now)
        }
        if issued.isShortened { complain("skein: it ends with the authority that signed it, earlier than asked: skein ca rotate") }
        let pem = String(decoding: issued.certificatePEM(), as: UTF8.self)
        if let out {
            do { try Data(pem.utf8).write(to: URL(fileURLWithPath: out), options: .atomic) } catch {
                complain("skein: \(out) cannot be written: \(error.localizedDescription); skein ca revoke \(issued.record.serial)")
                throw ExitStatus.system
            }
        }
        switch options.output {
        case .text where out == nil: print(pem, terminator: "")
        case .text: print("signed \(issued.record.names.joined(separator: ", ")) until \(UnixTime.text(issued.record.notAfter))")
        case .json:
            print("{\"certificate\":\(issued.record.json(now: CAOptions.now)),\"pem\":\(JSONText.quote(pem))}")
        }
    }

    private func readRequest() throws -> CertificateRequest {
        let handle = request == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: request)
        guard let bytes = try? handle?.read(upToCount: CertificateRequest.pemBytesMax + 1) else {
            complain("skein: \(request) cannot be read, or is empty")
            throw ExitStatus.badInput
        }
        do throws(TLSError) { return try CertificateRequest(pem: Array(bytes)) } catch {
            complain("skein: \(request): \(error)")
            throw ExitStatus.badInput
        }
    }
}

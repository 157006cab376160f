// What a token costs: reading it, and verifying it beside libcrypto alone with the same key and the same bytes.
//
//   JOSEBench [seconds]     for each algorithm, microseconds of CPU per token, the median of rounds that take turns

import COpenSSL
import JOSE
import Primitives

let seconds = CommandLine.arguments.count > 1 ? Double(CommandLine.arguments[1]) ?? 1 : 1
let claims = #"{"iss":"https://issuer.example","sub":"alice","aud":"shop","exp":4000000000,"realm_access":{"roles":["user","admin"]}}"#

/// libcrypto's own way to the same answer: the signature is in its form, DER for ECDSA, and the context is used again.
@safe struct Libcrypto: ~Copyable {
    private let context = unsafe EVP_MD_CTX_new()
    private let key: OpaquePointer?
    private let algorithm: SigningAlgorithm
    private let text: [UInt8]
    private let signature: [UInt8]

    init(_ key: SigningKey, _ algorithm: SigningAlgorithm, _ text: [UInt8]) throws {
        let pem = try key.pem()
        unsafe self.key = pem.withUnsafeBytes { bytes in
            let bio = unsafe BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count))
            defer { unsafe BIO_free(bio) }
            return unsafe PEM_read_bio_PrivateKey(bio, nil, nil, nil)
        }
        self.algorithm = algorithm
        self.text = text
        let signing = unsafe EVP_MD_CTX_new()
        defer { unsafe EVP_MD_CTX_free(signing) }
        var parameters: OpaquePointer?
        unsafe EVP_DigestSignInit(signing, &parameters, Self.digest(algorithm), nil, self.key)
        unsafe Self.setPadding(algorithm, parameters)
        var count = 1024
        var made = [UInt8](repeating: 0, count: count)
        precondition(unsafe EVP_DigestSign(signing, &made, &count, text, text.count) == 1)
        signature = Array(made.prefix(count))
    }

    deinit {
        unsafe EVP_MD_CTX_free(context)
        unsafe EVP_PKEY_free(key)
    }

    func verify() -> Bool {
        unsafe EVP_MD_CTX_reset(context)
        var parameters: OpaquePointer?
        unsafe EVP_DigestVerifyInit(context, &parameters, Self.digest(algorithm), nil, key)
        unsafe Self.setPadding(algorithm, parameters)
        return unsafe EVP_DigestVerify(context, signature, signature.count, text, text.count) == 1
    }

    private static func digest(_ algorithm: SigningAlgorithm) -> OpaquePointer? {
        switch algorithm.hash {
        case .sha256: unsafe EVP_sha256()
        case .sha384: unsafe EVP_sha384()
        case .sha512: unsafe EVP_sha512()
        case nil: nil
        }
    }

    private static func setPadding(_ algorithm: SigningAlgorithm, _ parameters: OpaquePointer?) {
        guard algorithm.family == .rsaPSS else { return }
        unsafe EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING)
        unsafe EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST)
    }
}

/// Microseconds of CPU for each call.
func microseconds(_ calls: Int, _ body: () -> Void) -> Double {
    let began = SystemClock.threadCPUNanoseconds()
    for _ in 0..<calls { body() }
    return Double(SystemClock.threadCPUNanoseconds() - began) / 1000 / Double(calls)
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func text(_ value: Double) -> String { String(Int(value * 100 + 0.5)).leading(3).decimal }

extension String {
    func leading(_ count: Int) -> String { String(repeating: "0", count: max(0, count - self.count)) + self }
    var decimal: String { dropLast(2) + "." + suffix(2) }
}

for algorithm in [SigningAlgorithm.es256, .es384, .es512, .edDSA, .rs256, .ps256] {
    let key = try SigningKey.generate(for: algorithm)
    let token = Array(try TokenSigner(key, algorithm: algorithm).sign(payload: claims).utf8)
    let keys = try KeySet.parse(Array(key.publicKey.json().utf8))
    let signed = Array(token.prefix(token.lastIndex(of: UInt8(ascii: ".")) ?? 0))
    let plain = try Libcrypto(key, algorithm, signed)
    var reader = TokenReader()
    var verifier = SignatureVerifier()
    var verified = 0
    var rounds: (read: [Double], own: [Double], plain: [Double]) = ([], [], [])
    unsafe token.withUnsafeBytes { bytes in
        let lent = unsafe LentBytes(bytes)
        let end = SystemClock.monotonicNow().nanoseconds + UInt64(seconds * 1e9)
        repeat {
            rounds.read.append(microseconds(200) { precondition(reader.read(lent) == nil) })
            rounds.own.append(
                microseconds(50) { if reader.read(lent) == nil, verifier.verify(reader, with: keys) == .verified { verified += 1 } })
            rounds.plain.append(microseconds(50) { if plain.verify() { verified += 1 } })
        } while SystemClock.monotonicNow().nanoseconds < end
    }
    precondition(verified == rounds.own.count * 100, "a good signature was refused")
    let (read, own, libcrypto) = (median(rounds.read), median(rounds.own), median(rounds.plain))
    print(
        "\(algorithm): read and verified \(text(own)) us, of that read \(text(read)); libcrypto alone \(text(libcrypto)); "
            + "\(text(own / libcrypto)) times (\(rounds.own.count) rounds, \(token.count) bytes)")
}

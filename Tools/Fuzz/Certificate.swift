// libFuzzer entry: any bytes are a certificate that can be asked for everything a log or a policy wants of it, or none.
import TLS

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzCertificate(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: size))
    guard let certificate = try? Certificate(der: bytes) else { return 0 }
    for kind in [Certificate.NameKind.email, .dns, .uri, .address] { _ = certificate.alternativeNames(kind) }
    _ = (certificate.subject, certificate.issuer, certificate.serial, certificate.notBefore, certificate.notAfter, certificate.isAuthority)
    precondition(certificate.fingerprint.count == 32, "a fingerprint that is no SHA-256")
    for role in [SVIDRules.Role.client, .server] {
        guard let id = try? SVIDRules.identity(of: certificate, as: role) else { continue }
        precondition(certificate.alternativeNames(.uri).count == 1 && !certificate.isAuthority, "an identity it cannot give")
        precondition(id.description.utf8.elementsEqual(certificate.alternativeNames(.uri)[0]), "an identity that is not in the certificate")
    }
    return 0
}

internal import Primitives
internal import Streams
internal import TLS

/// One element of `x-forwarded-client-cert`: the certificate of a client, as Envoy 1.40 writes it under Istio. Made once for a connection.
///
///     By=spiffe://…;Hash=6f3d…;Subject="CN=a";URI=spiffe://…;DNS=a.local
///
/// By: this end's own URI; Hash: SHA-256. Values are quoted where a reader would otherwise take a part for another. Bytes that are no
/// printable ASCII become `%XX`: names of a certificate are any bytes, and a field's are not.
enum ForwardedClientCert {
    /// Of a whole field; what came is left out where it would be longer. A field beyond is refused by most servers.
    static let bytesMax = 16 << 10
    /// Names of one kind that an element has.
    static let namesMax = 64

    /// Empty = the client has shown no certificate, or one too long to tell of. `withCertificate`: the certificate itself too, as Istio's
    /// gateways have it.
    static func element(_ stream: borrowing ByteStream, withCertificate: Bool) -> [UInt8] {
        guard let peer = stream.peerCertificate else { return [] }
        var parts: [[UInt8]] = []
        for uri in stream.localCertificate?.alternativeNames(.uri).prefix(1) ?? [] { parts.append(part("By=", uri)) }
        parts.append(Array("Hash=".utf8) + ConnectionDescription.hexadecimal(peer.fingerprint))
        if withCertificate { parts.append(Array("Cert=\"".utf8) + peer.escapedPEM + [quote]) }
        // RFC 2253 has quotes escaped already.
        parts.append(Array("Subject=\"".utf8) + printable(Array(peer.escapedSubject.utf8)) + [quote])
        let uris = peer.alternativeNames(.uri).prefix(namesMax)
        parts += uris.isEmpty ? [Array("URI=".utf8)] : uris.map { part("URI=", $0) }
        parts += peer.alternativeNames(.dns).prefix(namesMax).map { part("DNS=", $0) }
        let element = Array(parts.joined(separator: [UInt8(ascii: ";")]))
        return element.count <= bytesMax ? element : []
    }

    private static let quote = UInt8(ascii: "\"")

    private static func part(_ name: String, _ value: [UInt8]) -> [UInt8] {
        let isPlain = !value.contains { $0 == quote || $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: ";") || $0 == UInt8(ascii: "=") }
        if isPlain { return Array(name.utf8) + printable(value) }
        let escaped = value.flatMap { $0 == quote || $0 == UInt8(ascii: "\\") ? [UInt8(ascii: "\\"), $0] : [$0] }
        return Array(name.utf8) + [quote] + printable(escaped) + [quote]
    }

    private static func printable(_ bytes: [UInt8]) -> [UInt8] {
        if bytes.allSatisfy({ (0x20..<0x7f).contains($0) }) { return bytes }
        return bytes.flatMap { byte -> [UInt8] in
            (0x20..<0x7f).contains(byte) ? [byte] : [UInt8(ascii: "%")] + ConnectionDescription.hexadecimal([byte])
        }
    }
}

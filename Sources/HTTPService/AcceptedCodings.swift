internal import Compression

/// Whether a client takes gzip, by its `Accept-Encoding` (RFC 9110 12.5.3), and an answer in the coding that follows.
///
/// `x-gzip` is gzip (8.4.1.3). A named coding outweighs `*`; a weight of 0, or one that is none, refuses. Of gzip and an `identity` that is
/// named, the heavier wins, gzip among equals. Without the field the answer goes as it is: the RFC would allow any coding then, and
/// clients that cannot decode one exist.
public enum AcceptedCodings {
    /// Answers below this go as they are: about one packet, which gzip would not make fewer.
    public static let gzipBytesMin = 1400

    public static func allowsGzip(_ fields: [String]) -> Bool {
        var gzip: Double?
        var any: Double?
        var identity: Double?
        for offer in fields.joined(separator: ",").split(separator: ",") {
            let parts = offer.split(separator: ";").map { part in part.filter { $0 != " " && $0 != "\t" }.lowercased() }
            guard let coding = parts.first else { continue }
            let weight = parts.dropFirst().first { $0.hasPrefix("q=") }.map { Self.weight($0.dropFirst(2)) } ?? 1
            switch coding {
            case "gzip", "x-gzip": gzip = max(gzip ?? 0, weight)
            case "*": any = weight
            case "identity": identity = weight
            default: break
            }
        }
        guard let weight = gzip ?? any, weight > 0 else { return false }
        return weight >= identity ?? 0
    }

    /// A `qvalue`: 0 to 1 with at most three decimals. Anything else weighs nothing.
    private static func weight(_ text: Substring) -> Double {
        guard text.utf8.count <= 5, text.utf8.allSatisfy({ $0 == UInt8(ascii: ".") || (0x30...0x39).contains($0) }),
            let value = Double(text)
        else { return 0 }
        return value <= 1 ? value : 0
    }
}

extension ServiceRequest {
    public var acceptsGzip: Bool { AcceptedCodings.allowsGzip(fields.filter { $0.name == "accept-encoding" }.map(\.value)) }
}

extension ServiceResponse {
    /// The answer for a client that takes gzip or does not: a 200 of `gzipBytesMin` or more is sent smaller, and each 200 says that it
    /// depends on the request's field. Costs about 1 ms for a megabyte of exposition: work for a pool's thread, not for a server's.
    public consuming func coded(acceptsGzip: Bool) -> ServiceResponse {
        guard status == 200 else { return self }
        if let vary = headers.firstIndex(where: { $0.name == "Vary" }) {
            headers[vary].value += ", Accept-Encoding"
        } else {
            headers.append(("Vary", "Accept-Encoding"))
        }
        guard acceptsGzip, body.count >= AcceptedCodings.gzipBytesMin, let smaller = Gzip.encode(body), smaller.count < body.count else {
            return self
        }
        body = smaller
        headers.append(("Content-Encoding", "gzip"))
        return self
    }
}

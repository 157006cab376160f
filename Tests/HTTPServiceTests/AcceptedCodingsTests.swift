import HTTPService
import Testing

@Suite struct AcceptedCodingsTests {
    /// RFC 9110 12.5.3 and what clients send: Prometheus `gzip`, curl `deflate, gzip, br`, a proxy that decodes nothing `identity`.
    @Test(arguments: [
        ([], false), (["gzip"], true), (["deflate, gzip, br, zstd"], true), (["GZIP"], true), (["x-gzip"], true), ([""], false),
        (["identity"], false),
        (["br"], false), (["*"], true), (["*;q=0"], false), (["gzip;q=0"], false), (["gzip;q=0, *"], false), (["*;q=0, gzip"], true),
        (["gzip;q=0.000"], false), (["gzip ; q=0.001"], true), (["gzip;q=1.000"], true), (["gzip;q=2"], false), (["gzip;q=-1"], false),
        (["gzip;q=nan"], false), (["gzip;q=0x1"], false), (["gzip;q="], false), (["gzip;q=0.5, identity"], false),
        (["gzip;q=0.5, identity;q=0.5"], true),
        (["identity;q=0.5, *"], true), (["br", "gzip"], true), (["br", "deflate"], false), (["gzip;Q=0"], false), ([",,;q=1,"], false),
        (["gzipped"], false),
    ] as [([String], Bool)])
    func weighsOffers(_ fields: [String], _ expected: Bool) {
        #expect(AcceptedCodings.allowsGzip(fields) == expected, "\(fields)")
    }

    /// Caches must keep both forms apart also when this one was not encoded, and a small answer is not worth it.
    @Test func codesWhatIsWorthItAndSaysOnWhatItDepends() {
        let large = ServiceResponse(
            status: 200, headers: [("Vary", "Accept")], body: [UInt8](repeating: 0x61, count: AcceptedCodings.gzipBytesMin))
        func header(_ response: ServiceResponse, _ name: String) -> [String] { response.headers.filter { $0.name == name }.map(\.value) }
        let coded = large.coded(acceptsGzip: true)
        #expect(header(coded, "Vary") == ["Accept, Accept-Encoding"] && header(coded, "Content-Encoding") == ["gzip"])
        #expect(coded.body.count < 100 && coded.body.starts(with: [0x1F, 0x8B]))
        let plain = large.coded(acceptsGzip: false)
        #expect(header(plain, "Vary") == ["Accept, Accept-Encoding"] && header(plain, "Content-Encoding") == [] && plain.body == large.body)
        let small = ServiceResponse(status: 200, body: [UInt8](repeating: 0x61, count: AcceptedCodings.gzipBytesMin - 1)).coded(
            acceptsGzip: true)
        #expect(header(small, "Vary") == ["Accept-Encoding"] && header(small, "Content-Encoding") == [])
        let refused = ServiceResponse.text(503, String(repeating: "later ", count: 1000)).coded(acceptsGzip: true)
        #expect(header(refused, "Vary") == [] && header(refused, "Content-Encoding") == [])
    }
}

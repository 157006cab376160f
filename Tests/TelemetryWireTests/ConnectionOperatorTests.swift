import Primitives
import TelemetryModel
import TelemetryWire
import Testing

/// What TLS of both ends tells in a line.
@Suite struct ConnectionOperatorTests {
    private func texts(_ parts: [(ConnectionText, [UInt8])]) -> [UInt8] {
        parts.reduce(into: []) { ConnectionTextCoding.append($1.0, $1.1, to: &$0) }
    }

    private func line(
        _ format: AccessLogFormat, _ record: RequestRecord, downstream: [UInt8] = [], upstream: [UInt8] = [], tries: Int = 0
    ) -> String {
        var record = record
        record.downstreamTextBytes = UInt16(downstream.count)
        record.upstreamTextBytes = UInt16(upstream.count)
        record.earlierAttempts = UInt8(tries)
        let attempts = [UInt8](repeating: 0, count: tries * MemoryLayout<AttemptRecord>.stride)
        let entry = recordBytes(record, exampleTexts) + attempts + downstream + upstream
        var bytes: [UInt8] = []
        if let view = unsafe RequestRecordView(entry.span.bytes) {
            format.program(capture: HeaderCapture()).append(view, names: exampleNames, emitUnixNanoseconds: 0, to: &bytes)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func time(_ seconds: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: (seconds * 1_000_000_000) >> (8 * UInt64($0))) }
    }

    /// The same part of both ends, behind the tries; each where it belongs.
    @Test func bothEndsTellTheirOwn() throws {
        let format = try AccessLogFormat.text(
            "%DOWNSTREAM_PEER_URI_SAN% %UPSTREAM_PEER_URI_SAN% %DOWNSTREAM_TLS_VERSION% %UPSTREAM_TLS_VERSION% %REQUESTED_SERVER_NAME%")
        let downstream = texts([
            (.serverName, Array("api.local".utf8)), (.version, Array("TLSv1.3".utf8)), (.peerURIs, Array("spiffe://a/b".utf8)),
        ])
        let upstream = texts([(.peerURIs, Array("spiffe://c/d".utf8))])
        for tries in [0, 3] {
            #expect(
                line(format, exampleRecord(), downstream: downstream, upstream: upstream, tries: tries)
                    == "spiffe://a/b spiffe://c/d TLSv1.3 - api.local\n")
        }
        #expect(line(format, exampleRecord()) == "- - - - -\n")
        #expect(
            format.connections
                == ConnectionTextChoice(
                    downstream: [ConnectionTextSet(.serverName), ConnectionTextSet(.version), ConnectionTextSet(.peerURIs)],
                    upstream: [ConnectionTextSet(.version), ConnectionTextSet(.peerURIs)]))
    }

    /// Names of a certificate are its maker's: they forge no line, in neither format.
    @Test func aNameForgesNoLine() throws {
        let downstream = texts([(.peerURIs, Array("spiffe://a/b\n[2026] \"GET / HTTP/1.1\" 200".utf8 + [0, 0xff]))])
        let text = try line(.text("%DOWNSTREAM_PEER_URI_SAN%"), exampleRecord(), downstream: downstream)
        func lines(_ text: String) -> Int { text.utf8.count(where: { $0 == UInt8(ascii: "\n") }) }
        #expect(lines(text) == 1 && text.hasPrefix("spiffe://a/b\\x0a[2026] ") && !text.contains("\u{0}"), "\(text)")
        let json = try line(.json([("uri", .template("%DOWNSTREAM_PEER_URI_SAN%"))]), exampleRecord(), downstream: downstream)
        #expect(lines(json) == 1 && json.hasPrefix(#"{"uri":"spiffe://a/b\n[2026] \"GET"#), "\(json)")
    }

    @Test func timesOfACertificateTakeAFormat() throws {
        let downstream = texts([(.peerNotBefore, time(1_460_751_420)), (.peerNotAfter, time(18_446_744_073))])
        let format = try AccessLogFormat.text(
            "%DOWNSTREAM_PEER_CERT_V_START% %DOWNSTREAM_PEER_CERT_V_START(%Y-%m)% "
                + "%DOWNSTREAM_PEER_CERT_V_END(%s)% %UPSTREAM_PEER_CERT_V_END%")
        #expect(line(format, exampleRecord(), downstream: downstream) == "2016-04-15T20:17:00.000Z 2016-04 18446744073 -\n")
        let json = try AccessLogFormat.json([("end", .template("%UPSTREAM_PEER_CERT_V_END%"))])
        #expect(line(json, exampleRecord(), downstream: downstream) == "{\"end\":null}\n")
    }

    /// As Envoy 1.40: the reason is the details' too.
    @Test func aFailedEndpointHasItsReasonTwice() throws {
        var record = exampleRecord()
        record.details = .transportFailureBeforeResponse
        let reason = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:it_is_another:TLS_error_end"
        let format = try AccessLogFormat.text("%RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%")
        let upstream = texts([(.failureReason, Array(reason.utf8))])
        #expect(
            line(format, record, upstream: upstream)
                == "upstream_reset_before_response_started{remote_connection_failure|\(reason)} \(reason)\n")
        #expect(
            line(format, record) == "upstream_reset_before_response_started{remote_connection_failure|TLS_error} TLS_error\n")
    }

    @Test(arguments: [
        "%DOWNSTREAM_PEER_URI_SAN:5%", "%DOWNSTREAM_TLS_VERSION(x)%", "%DOWNSTREAM_PEER_CERT_V_START():3%", "%UPSTREAM_PEER_SERIAL%",
        "%UPSTREAM_LOCAL_SUBJECT%", "%DOWNSTREAM_PEER_CERT_V_START(%Q)%",
    ])
    func whatEnvoyRefusesIsRefused(_ format: String) {
        #expect(throws: AccessLogFormatError.self) { try AccessLogFormat.text(format) }
    }

    /// A line of the longest texts that a record holds, all of them to be escaped, fits its bound.
    @Test func theLongestTextsFit() throws {
        let names = ["PEER_URI_SAN", "PEER_DNS_SAN", "PEER_SUBJECT"]
        let format = try AccessLogFormat.json(
            ["DOWNSTREAM", "UPSTREAM"].flatMap { end in names.map { ("\(end)\($0)", .template("%\(end)_\($0)% %\(end)_\($0)%")) } })
        let longest = [UInt8](repeating: 1, count: ConnectionTextCoding.textBytesMax + 1)
        // The third has no room left and is missing.
        let all = texts([(.peerURIs, longest), (.peerHosts, longest), (.peerSubject, longest)])
        #expect(all.count <= ConnectionTextCoding.bytesMax)
        let text = line(format, exampleRecord(), downstream: all, upstream: all)
        #expect(text.contains(String(repeating: "\\u0001", count: ConnectionTextCoding.textBytesMax)))
        #expect(text.contains(#""DOWNSTREAMPEER_SUBJECT":"- -""#) && text.contains(#""UPSTREAMPEER_SUBJECT":"- -""#))
    }

    /// Cut or arbitrary bytes are read within their bounds.
    @Test func anyBytesAreReadWithinTheirBounds() {
        var random = RandomSource(seed: 7)
        for _ in 0..<2000 {
            let bytes = (0..<Int(random.next() % 40)).map { _ in UInt8(truncatingIfNeeded: random.next() % 24) }
            for kind in ConnectionText.allCases {
                let place = unsafe bytes.withUnsafeBytes { unsafe ConnectionTextCoding.place(of: kind, in: $0) }
                if let place { #expect(place.upperBound <= bytes.count) }
            }
        }
    }
}

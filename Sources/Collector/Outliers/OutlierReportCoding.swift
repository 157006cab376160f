public import OutlierDetection
internal import Primitives
public import TelemetryWire

/// The part of a report that says what a proxy saw of endpoints (docs/formats/report.md, "Endpoints"). Pure.
public enum OutlierReportCoding {
    static let version: UInt64 = 1
    static let nameBytesMax = 1024
    static let settingsMax = 64
    public static let clustersMax = 8_192
    public static let endpointsMax = 16_384

    /// What the sender has of the collector's word.
    public struct Known: Hashable, Sendable {
        public var epoch: UInt64
        public var generation: UInt64

        public init(epoch: UInt64, generation: UInt64) {
            self.epoch = epoch
            self.generation = generation
        }
    }

    /// Reporter, principal and number of the report are not part of the bytes: the report around them has them.
    public static func encode(_ report: MeshReport, known: Known) -> [UInt8] {
        var bytes: [UInt8] = []
        ReportBytes.append(varint: version, to: &bytes)
        ReportBytes.append(varint: report.periodNanoseconds / 1_000_000, to: &bytes)
        ReportBytes.append(word: known.epoch, to: &bytes)
        ReportBytes.append(varint: known.generation, to: &bytes)
        let clusters = report.clusters.prefix(clustersMax)
        ReportBytes.append(varint: UInt64(clusters.count), to: &bytes)
        for cluster in clusters {
            ReportBytes.append(Array(cluster.name.utf8.prefix(nameBytesMax))[...], to: &bytes)
            let settings = settingNumbers(of: cluster.settings) + (cluster.detectors.map(DetectorCoding.numbers) ?? [])
            ReportBytes.append(varint: UInt64(settings.count), to: &bytes)
            for number in settings { ReportBytes.append(varint: number, to: &bytes) }
            ReportBytes.append(varint: cluster.hosts, to: &bytes)
            let endpoints = cluster.endpoints.prefix(endpointsMax)
            ReportBytes.append(varint: UInt64(endpoints.count), to: &bytes)
            for endpoint in endpoints { append(endpoint, to: &bytes) }
        }
        return bytes
    }

    private static func append(_ endpoint: MeshReport.Endpoint, to bytes: inout [UInt8]) {
        AddressCoding.append(endpoint.address, to: &bytes)
        let hasLatency = endpoint.latency.total > 0
        let flags: UInt8 = (endpoint.isAbsent ? 1 : 0) | (hasLatency ? 2 : 0) | (endpoint.ejected != nil ? 4 : 0)
        bytes.append(flags)
        let counts = endpoint.counts
        for number in [counts.successes, counts.errors, counts.gatewayErrors, counts.localFailures] {
            ReportBytes.append(varint: number, to: &bytes)
        }
        if hasLatency {
            // Through the span: each subscript of the array copies all of it.
            let buckets = endpoint.latency.buckets.span
            var used: UInt64 = 0
            for bucket in buckets.indices where buckets[bucket] > 0 { used += 1 }
            ReportBytes.append(varint: used, to: &bytes)
            for bucket in buckets.indices where buckets[bucket] > 0 {
                ReportBytes.append(varint: UInt64(bucket), to: &bytes)
                ReportBytes.append(varint: buckets[bucket], to: &bytes)
            }
        }
        if let reason = endpoint.ejected { ReportBytes.append(varint: UInt64(reason.rawValue), to: &bytes) }
    }

    /// `report` has the sender's name and number; this fills in the rest. Bytes of a later version are a fault: their sender is newer.
    public static func decode(_ bytes: [UInt8], into report: inout MeshReport) throws(ReportFault) -> Known {
        var reader = ReportReader(bytes)
        guard try reader.varint() == version else { throw reader.fault("endpoints of a version that is not known") }
        let milliseconds = try reader.varint().multipliedReportingOverflow(by: 1_000_000)
        report.periodNanoseconds = milliseconds.overflow ? .max : milliseconds.partialValue
        let known = Known(epoch: try reader.word(), generation: try reader.varint())
        var endpointsLeft = endpointsMax
        let clusters = try reader.count(most: clustersMax)
        report.clusters.reserveCapacity(clusters)
        for _ in 0..<clusters {
            let name = try reader.text(most: nameBytesMax)
            var numbers: [UInt64] = []
            let numbersCount = try reader.count(most: settingsMax)
            numbers.reserveCapacity(numbersCount)
            for _ in 0..<numbersCount { numbers.append(try reader.varint()) }
            var cluster = MeshReport.Cluster(name: name, settings: readSettings(numbers), hosts: try reader.varint())
            cluster.detectors = DetectorCoding.read(numbers.dropFirst(settingsCount))
            let count = try reader.count(most: endpointsLeft)
            endpointsLeft -= count
            cluster.endpoints.reserveCapacity(count)
            for _ in 0..<count { cluster.endpoints.append(try readEndpoint(&reader)) }
            report.clusters.append(cluster)
        }
        guard reader.isAtEnd else { throw reader.fault("bytes behind the last endpoint") }
        return known
    }

    private static func readEndpoint(_ reader: inout ReportReader) throws(ReportFault) -> MeshReport.Endpoint {
        var endpoint = MeshReport.Endpoint(try AddressCoding.read(&reader))
        let flags = try reader.byte()
        endpoint.isAbsent = flags & 1 != 0
        endpoint.counts.successes = try reader.varint()
        endpoint.counts.errors = try reader.varint()
        endpoint.counts.gatewayErrors = try reader.varint()
        endpoint.counts.localFailures = try reader.varint()
        if flags & 2 != 0 {
            for _ in 0..<(try reader.count(most: LatencyCounts.count)) {
                let bucket = try reader.varint()
                guard bucket < UInt64(LatencyCounts.count) else { throw reader.fault("a bucket of latencies that is not there") }
                endpoint.latency.buckets[Int(bucket)] = try reader.varint()
            }
        }
        if flags & 4 != 0 { endpoint.ejected = try ReasonCoding.read(&reader) }
        return endpoint
    }

    // MARK: Settings

    /// Those of `OutlierSettings`; behind them stand those of `DetectorCoding`.
    static let settingsCount = 24

    /// In this order for ever.
    private static func settingNumbers(of settings: OutlierSettings) -> [UInt64] {
        func flag(_ value: Bool) -> UInt64 { value ? 1 : 0 }
        return [
            UInt64(settings.consecutive5xx), UInt64(settings.consecutiveGateway), UInt64(settings.consecutiveLocalOrigin),
            flag(settings.splitExternalLocalOriginErrors), settings.intervalNanoseconds, settings.baseEjectionTimeNanoseconds,
            settings.maxEjectionTimeNanoseconds ?? 0, settings.maxEjectionTimeJitterNanoseconds, UInt64(settings.maxEjectionPercent),
            flag(settings.alwaysEjectOneHost), UInt64(settings.minHealthPercent), UInt64(settings.enforcingConsecutive5xx),
            UInt64(settings.enforcingConsecutiveGateway), UInt64(settings.enforcingConsecutiveLocalOrigin),
            UInt64(settings.enforcingSuccessRate), UInt64(settings.enforcingLocalOriginSuccessRate),
            UInt64(settings.enforcingFailurePercentage), UInt64(settings.enforcingFailurePercentageLocalOrigin),
            UInt64(settings.successRateMinimumHosts), UInt64(settings.successRateRequestVolume),
            UInt64(settings.successRateStdevFactorThousandths), UInt64(settings.failurePercentageThreshold),
            UInt64(settings.failurePercentageMinimumHosts), UInt64(settings.failurePercentageRequestVolume),
        ]
    }

    /// What an older sender does not say has its default.
    private static func readSettings(_ numbers: [UInt64]) -> OutlierSettings {
        var settings = OutlierSettings()
        func number(_ place: Int) -> UInt64? { place < numbers.count ? numbers[place] : nil }
        func set(_ place: Int, _ field: inout UInt32) {
            if let value = number(place) { field = UInt32(clamping: value) }
        }
        set(0, &settings.consecutive5xx)
        set(1, &settings.consecutiveGateway)
        set(2, &settings.consecutiveLocalOrigin)
        settings.splitExternalLocalOriginErrors = number(3) == 1
        settings.intervalNanoseconds = number(4) ?? settings.intervalNanoseconds
        settings.baseEjectionTimeNanoseconds = number(5) ?? settings.baseEjectionTimeNanoseconds
        settings.maxEjectionTimeNanoseconds = number(6).flatMap { $0 > 0 ? $0 : nil }
        settings.maxEjectionTimeJitterNanoseconds = number(7) ?? 0
        set(8, &settings.maxEjectionPercent)
        settings.alwaysEjectOneHost = number(9) == 1
        set(10, &settings.minHealthPercent)
        set(11, &settings.enforcingConsecutive5xx)
        set(12, &settings.enforcingConsecutiveGateway)
        set(13, &settings.enforcingConsecutiveLocalOrigin)
        set(14, &settings.enforcingSuccessRate)
        set(15, &settings.enforcingLocalOriginSuccessRate)
        set(16, &settings.enforcingFailurePercentage)
        set(17, &settings.enforcingFailurePercentageLocalOrigin)
        set(18, &settings.successRateMinimumHosts)
        set(19, &settings.successRateRequestVolume)
        set(20, &settings.successRateStdevFactorThousandths)
        set(21, &settings.failurePercentageThreshold)
        set(22, &settings.failurePercentageMinimumHosts)
        set(23, &settings.failurePercentageRequestVolume)
        return settings
    }
}

/// An address: 4 or 6, its bytes, its port. Paths mean something on one machine only and are not reported.
enum AddressCoding {
    static func append(_ address: SocketEndpoint, to bytes: inout [UInt8]) {
        bytes.append(address.family == .ipv6 ? 6 : 4)
        if address.family == .ipv6 { ReportBytes.append(word: address.high, to: &bytes) }
        ReportBytes.append(word: address.low, to: &bytes)
        ReportBytes.append(varint: UInt64(address.port), to: &bytes)
    }

    static func read(_ reader: inout ReportReader) throws(ReportFault) -> SocketEndpoint {
        let family = try reader.byte()
        let high = family == 6 ? try reader.word() : 0
        let low = try reader.word()
        guard let port = UInt16(exactly: try reader.varint()) else { throw reader.fault("a port above 65535") }
        switch family {
        case 6: return SocketEndpoint(ipv6High: high, ipv6Low: low, port: port)
        case 4:
            guard let address = UInt32(exactly: low) else { throw reader.fault("an IPv4 address of more than four bytes") }
            return SocketEndpoint(ipv4: address, port: port)
        default: throw reader.fault("an address that is neither IPv4 nor IPv6")
        }
    }
}

enum ReasonCoding {
    static func read(_ reader: inout ReportReader) throws(ReportFault) -> EjectionReason {
        guard let reason = UInt8(exactly: try reader.varint()).flatMap(EjectionReason.init(rawValue:)) else {
            throw reader.fault("a reason that is not known")
        }
        return reason
    }
}

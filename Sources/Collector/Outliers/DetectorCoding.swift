internal import OutlierDetection

/// The detectors that a MeshOutlierDetection names, as the numbers behind a cluster's settings (docs/formats/report.md). An older collector
/// passes over them and judges by its own; of an older proxy, or without the resource, there are none. Pure.
enum DetectorCoding {
    private static let isSaid: UInt64 = 1
    private static let hasErrorRate: UInt64 = 2
    private static let hasLatency: UInt64 = 4
    private static let ejects: UInt64 = 8
    private static let enforcesErrorRate: UInt64 = 16
    private static let enforcesLatency: UInt64 = 32

    /// In this order for ever; later ones come behind.
    static func numbers(of detectors: MeshDetectors) -> [UInt64] {
        let rate = detectors.errorRate ?? MeshDetectors.ErrorRate()
        let slow = detectors.latency ?? MeshDetectors.Latency()
        let flags =
            isSaid | (detectors.errorRate != nil ? hasErrorRate : 0) | (detectors.latency != nil ? hasLatency : 0)
            | (detectors.ejects ? ejects : 0) | (detectors.enforcesErrorRate ? enforcesErrorRate : 0)
            | (detectors.enforcesLatency ? enforcesLatency : 0)
        return [
            flags, detectors.voicesMin, rate.percent, rate.volume, rate.windows, slow.factorThousandths, slow.millisecondsMin, slow.volume,
            slow.peersMin, slow.windows,
        ]
    }

    /// Nil = nothing is said. Numbers that are missing have their defaults; all are brought within their ranges.
    static func read(_ numbers: ArraySlice<UInt64>) -> MeshDetectors? {
        let numbers = Array(numbers)
        guard let flags = numbers.first, flags & isSaid != 0 else { return nil }
        func number(_ place: Int, _ fallback: UInt64) -> UInt64 { place < numbers.count ? numbers[place] : fallback }
        var rate = MeshDetectors.ErrorRate()
        rate.percent = number(2, rate.percent)
        rate.volume = number(3, rate.volume)
        rate.windows = number(4, rate.windows)
        var slow = MeshDetectors.Latency()
        slow.factorThousandths = number(5, slow.factorThousandths)
        slow.millisecondsMin = number(6, slow.millisecondsMin)
        slow.volume = number(7, slow.volume)
        slow.peersMin = number(8, slow.peersMin)
        slow.windows = number(9, slow.windows)
        var detectors = MeshDetectors()
        detectors.errorRate = flags & hasErrorRate != 0 ? rate : nil
        detectors.latency = flags & hasLatency != 0 ? slow : nil
        detectors.ejects = flags & ejects != 0
        detectors.enforcesErrorRate = flags & enforcesErrorRate != 0
        detectors.enforcesLatency = flags & enforcesLatency != 0
        detectors.voicesMin = number(1, detectors.voicesMin)
        return detectors.bounded
    }
}

// Figures of the series' store, with virtual time:
//
//   SeriesBench size [series] [hours]     bytes a sample and of the file, CPU of taking a report
//   SeriesBench memory [series] [minutes] resident memory with so many live series
//   SeriesBench make DIRECTORY [series] [days]  a data directory for `skein run`: a sample a minute until now (`Tools/bench series`)
//   SeriesBench day [series]              a day until now as requests of remote write on standard output (`Tools/bench day`)
//
// Series have 25 labels, as Istio's do; rates are log-uniform from 0.01 to 100 a second, and a third of the series changes at each sample.
import Glibc
import TelemetryModel
import Matching
import Primitives
import TelemetryStore
import Synchronization

struct Random {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
    mutating func unit() -> Double { Double(next() >> 11) / 9_007_199_254_740_992 }
}

func cpuMilliseconds() -> Double {
    var usage = rusage()
    _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000
}

func residentKilobytes() -> Int {
    guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
    defer { unsafe fclose(file) }
    var buffer = [CChar](repeating: 0, count: 256)
    guard unsafe fgets(&buffer, 255, file) != nil else { return 0 }
    let text = buffer.prefix { $0 != 0 }.map { Character(UnicodeScalar(UInt8(bitPattern: $0))) }
    let parts = String(text).split(separator: " ")
    return parts.count > 1 ? (Int(parts[1]) ?? 0) * 4 : 0
}

/// The most that was resident since the last call of `forgetPeak` (VmHWM of proc(5)).
func peakKilobytes() -> Int {
    guard let file = unsafe fopen("/proc/self/status", "r") else { return 0 }
    defer { unsafe fclose(file) }
    var buffer = [CChar](repeating: 0, count: 256)
    while unsafe fgets(&buffer, 255, file) != nil {
        let line = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if line.hasPrefix("VmHWM:") { return line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) } ?? 0 }
    }
    return 0
}

func forgetPeak() {
    guard let file = unsafe fopen("/proc/self/clear_refs", "w") else { return }
    _ = unsafe fputs("5", file)
    unsafe fclose(file)
}

/// Series of a mesh: 25 labels, few of which differ.
func meshLabels(_ number: Int) -> LabelSet {
    var labels = LabelSet("istio_requests_total")
    for name in ["source", "destination"] {
        let parts = ["workload", "workload_namespace", "principal", "app", "version", "cluster", "canonical_service", "canonical_revision"]
        for part in parts {
            labels["\(name)_\(part)"] = "\(part)-of-\(name)-\((name == "source" ? number / 100 : number) % 100)"
        }
    }
    for name in ["", "_name", "_namespace"] { labels["destination_service\(name)"] = "\(name)-of-service-\(number % 100)" }
    labels["reporter"] = number % 2 == 0 ? "source" : "destination"
    labels["request_protocol"] = "http"
    labels["response_code"] = "\(200 + number / 10_000)"
    labels["response_flags"] = "-"
    labels["connection_security_policy"] = "mutual_tls"
    return labels
}

final class Clock: Sendable {
    let now = Mutex<Int64>(1_700_000_000_000)
}

struct Bench {
    let clock = Clock()
    let store: SeriesStore
    let directory: String
    var random = Random(state: 1)
    var values: [Double]
    let rates: [Double]
    let identities: [[UInt8]]
    var batch = SeriesBatch()
    var appendCPU = 0.0
    var reports = 0

    /// `directory`: nil = one of its own.
    init(_ count: Int, in given: String? = nil, from start: Int64 = 1_700_000_000_000) throws {
        clock.now.withLock { $0 = start }
        directory = given ?? Self.temporaryDirectory()
        var configuration = SeriesConfiguration()
        configuration.now = { [clock] in clock.now.withLock { $0 } }
        configuration.familySeriesMax = 2_000_000
        var file = StoreConfiguration(directory: directory)
        file.compactsInBackground = false
        file.groupCommitMilliseconds = 0
        store = try SeriesStore.open(file, configuration)
        var random = Random(state: 2)
        rates = (0..<count).map { _ in 0.01 * pow(10_000, random.unit()) }
        values = [Double](repeating: 0, count: count)
        identities = (0..<count).map { SeriesIdentity.encode(meshLabels($0), .counter) }
    }

    private static func temporaryDirectory() -> String {
        var template = Array("/tmp/skein-series-XXXXXX".utf8CString)
        return unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, let made = unsafe mkdtemp(base) else { return "/tmp/skein-series" }
            return unsafe String(cString: made)
        }
    }

    /// One report of all series, `step` milliseconds after the last one; returns its points.
    mutating func report(after step: Int64 = 10_000) throws -> Int {
        let now = clock.now.withLock { $0 += step; return $0 }
        for index in values.indices where random.unit() < 1.0 / 3 {
            // What comes in 30 s on average, at least one.
            let mean = rates[index] * 30
            values[index] += max(1, (mean + sqrt(mean) * (random.unit() + random.unit() + random.unit() - 1.5) * 2).rounded())
        }
        let start = cpuMilliseconds()
        // Each sender reports 10,000 series.
        for first in stride(from: 0, to: identities.count, by: 10_000) {
            batch.removeAll()
            for index in first..<min(first + 10_000, identities.count) {
                let number = batch.append(identity: identities[index], .counter)
                batch.append(number, time: now, value: values[index])
            }
            try store.append(batch)
        }
        appendCPU += cpuMilliseconds() - start
        reports += 1
        return identities.count
    }

    func fileBytes() -> UInt64 {
        var total: UInt64 = 0
        for suffix in ["", "-wal"] {
            var status = stat()
            if unsafe stat(directory + "/skein.db" + suffix, &status) == 0 { total += UInt64(status.st_size) }
        }
        return total
    }

    func removeFiles() {
        store.close()
        for name in ["skein.db", "skein.db-wal", "skein.db-shm", "skein.lock"] { _ = unsafe unlink(directory + "/" + name) }
        _ = unsafe rmdir(directory)
    }
}

func size(_ count: Int, hours: Int) throws {
    var bench = try Bench(count)
    var samples = 0
    let start = cpuMilliseconds()
    samples += try bench.report()
    let firstCPU = bench.appendCPU
    bench.appendCPU = 0
    for step in 1..<hours * 360 {
        samples += try bench.report()
        if step % 6 == 0 { try bench.store.flush() }
    }
    bench.clock.now.withLock { $0 += 26 * 3_600_000 }
    try bench.store.flush()
    let cpu = cpuMilliseconds() - start
    let statistics = bench.store.statistics()
    let laterCPU = bench.appendCPU / Double(bench.reports - 1)
    print("series \(count), samples \(samples), first report \(firstCPU) ms CPU, later ones \(laterCPU) ms each")
    for tier in statistics.tierBytes.indices {
        let (samples, bytes) = (statistics.tierSamples[tier], statistics.tierBytes[tier])
        print("tier \(tier): \(samples) samples, \(bytes) bytes, \(statistics.tierBlocks[tier]) blocks,",
            "\(Double(bytes) / Double(max(samples, 1))) bytes a sample")
    }
    let file = bench.fileBytes()
    print("file \(file) bytes, \(Double(file) / Double(samples)) bytes a sample with everything; CPU in all \(cpu) ms")
    try query(bench, hours: hours)
    bench.removeFiles()
}

func query(_ bench: Bench, hours: Int) throws {
    let now = bench.clock.now.withLock { $0 }
    for (name, matchers, resolution) in [
        ("1 of 100 destinations, raw", [try LabelMatcher("destination_app", .equal, "app-of-destination-7")], 0 as Int64),
        ("a tenth by expression, raw", [try LabelMatcher("destination_app", .matches, "app-of-destination-7.")], 0),
        ("all, 1 h", [try LabelMatcher("__name__", .equal, "istio_requests_total")], 3_600_000),
    ] {
        let start = cpuMilliseconds()
        let found = try bench.store.select(SeriesQuery(matchers, from: 0, through: now, coarsest: resolution))
        let samples = found.series.reduce(0) { $0 + $1.times.count }
        let cpu = cpuMilliseconds() - start
        let each = cpu * 1e6 / Double(max(samples, 1))
        print("query \(name): \(found.series.count) series, \(samples) samples, \(cpu) ms CPU, \(each) ns a sample")
    }
}

func memory(_ count: Int, minutes: Int) throws {
    let before = residentKilobytes()
    var bench = try Bench(count)
    HeapMemory.giveBackFreePages()
    let prepared = residentKilobytes()
    forgetPeak()
    for step in 0..<minutes * 6 {
        _ = try bench.report()
        if step % 6 == 0 { try bench.store.flush() }
        guard step % 60 == 59 else { continue }
        let (now, most) = (residentKilobytes() - prepared, peakKilobytes() - prepared)
        print("after \(step + 1) reports: \(now) KB above the tool's own, at most \(most) since; head",
            bench.store.statistics().headBytes)
        forgetPeak()
    }
    bench.batch = SeriesBatch()
    try bench.store.flush()
    HeapMemory.giveBackFreePages()
    let statistics = bench.store.statistics()
    print("tool's own \(prepared - before) KB; the store's \(residentKilobytes() - prepared) KB with \(statistics.series) series;",
        "index \(statistics.indexBytes), head \(statistics.headBytes) for \(statistics.headSamples) samples")
    bench.removeFiles()
}

func make(_ directory: String, _ count: Int, days: Int) throws {
    let end = Int64(time(nil)) * 1000
    var bench = try Bench(count, in: directory, from: end - Int64(days) * 86_400_000)
    var samples = 0
    for step in 1..<days * 1440 {
        samples += try bench.report(after: 60_000)
        if step % 60 == 0 { try bench.store.flush() }
    }
    try bench.store.flush()
    let tiers = bench.store.statistics().tierSamples
    bench.store.close()
    print("\(count) series, \(samples) samples over \(days) days; of these in tiers: \(tiers)")
}

let arguments = CommandLine.arguments
if arguments.count > 2, arguments[1] == "make" {
    try make(
        arguments[2], arguments.count > 3 ? Int(arguments[3]) ?? 1000 : 1000, days: arguments.count > 4 ? Int(arguments[4]) ?? 30 : 30)
    exit(0)
}
if arguments.count > 1, arguments[1] == "day" {
    var day = RemoteWriteDay(arguments.count > 2 ? Int(arguments[2]) ?? 10_000 : 10_000)
    day.write(until: Int64(time(nil)) * 1000)
    exit(0)
}
let first = arguments.count > 2 ? Int(arguments[2]) : nil
let second = arguments.count > 3 ? Int(arguments[3]) : nil
switch arguments.count > 1 ? arguments[1] : "size" {
case "memory": try memory(first ?? 100_000, minutes: second ?? 75)
default: try size(first ?? 10_000, hours: second ?? 24)
}

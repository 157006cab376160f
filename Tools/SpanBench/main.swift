import Glibc
import TelemetryModel
import TelemetryStore

// spanbench: the store's figures on the load they are stated for. `SpanBench --help` lists the modes.

func option(_ name: String, _ fallback: String) -> String {
    guard let at = CommandLine.arguments.firstIndex(of: "--" + name), at + 1 < CommandLine.arguments.count else { return fallback }
    return CommandLine.arguments[at + 1]
}

func number(_ name: String, _ fallback: Int) -> Int { Int(option(name, String(fallback))) ?? fallback }

/// RUSAGE_SELF, which Glibc shows as a type that getrusage does not take.
let processUsage: Int32 = 0

func cpuSeconds() -> Double {
    var usage = rusage()
    unsafe getrusage(processUsage, &usage)
    return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
}

func threadCPUSeconds() -> Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func wallSeconds() -> Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func peakRSSMegabytes() -> Double {
    var usage = rusage()
    unsafe getrusage(processUsage, &usage)
    return Double(usage.ru_maxrss) / 1024
}

func show(_ value: Double, _ digits: Int = 2) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    return String((value * scale).rounded() / scale)
}

func nowMicroseconds() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1000
}

let batchSpans = 256

let usage = """
    usage: SpanBench MODE [options]
      ingest                 store --spans N (1000000) spans; prints CPU seconds per million, disk bytes a span, peak memory;
                             --late N: the halves of every N-th batch's traces come 100,000 spans apart, as from a slow reporter
      query                  the same, then --queries N (300) lookups and searches of each kind, wall time and CPU of the thread that asks;
                             an existing --data with spans is queried as it is
      crash-writer           write batches until killed, printing the number of each acknowledged one
      generate-zipkin-json   --bodies N (100) requests of 256 spans as Zipkin v2 JSON for POST /api/v2/spans, 674 bytes a span
      generate-otlp          the same load as OTLP protobuf for POST /v1/traces, 462 bytes a span
    store options:  --data DIR, --seed N, --start MICROSECONDS, --head SPANS, --sync-full
    body options:   --out FILE      one file: before each body its length, four bytes, big endian
                    --out-dir DIR   one file per body: body-000000, body-000001, ... in an existing directory
    Same seed and start, same bytes.
    """

func configuration() -> StoreConfiguration {
    var configuration = StoreConfiguration(directory: option("data", "spanbench-data"))
    configuration.durableAgainstPowerLoss = CommandLine.arguments.contains("--sync-full")
    // The load's timestamps are fixed; retention is not what is measured.
    configuration.retentionAgeSeconds = 0
    configuration.headSpansMax = number("head", configuration.headSpansMax)
    return configuration
}

/// How many spans lie between the halves of a batch that `--late` tears apart: more than a segment has.
let lateSpans = 100_000

/// Stores `total` spans; prints the cost of each million without what the generator itself used.
func ingest(_ store: TraceStore, _ total: Int, seed: UInt64, start: UInt64) throws(StoreError) {
    var generator = SpanGenerator(seed: seed, start: start)
    var batch = SpanBatch()
    var stored = 0
    var generation = 0.0
    var generationAtMark = 0.0
    var cpuAtMark = cpuSeconds()
    var wallAtMark = wallSeconds()
    let cpuAtStart = cpuAtMark
    let lateEvery = number("late", 0)
    var batches = 0
    /// Second halves of batches, and when they are due.
    var late: [(batch: SpanBatch, at: Int)] = []
    func submit(_ batch: SpanBatch) {
        // The queue is what saturates; wait for room as a receiver would, without spinning.
        while store.statistics().queuedBatches > 64 { usleep(200) }
        store.submit(batch) { _ in }
    }
    while stored < total {
        let before = threadCPUSeconds()
        generator.fill(&batch, spans: batchSpans)
        generation += threadCPUSeconds() - before
        batches += 1
        if lateEvery > 0, batches % lateEvery == 0 {
            var second = batch
            second.spans = batch.spans.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
            var first = batch
            first.spans = batch.spans.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
            late.append((second, stored + lateSpans))
            submit(first)
        } else {
            submit(batch)
        }
        while let next = late.first, next.at <= stored {
            submit(next.batch)
            late.removeFirst()
        }
        stored += batch.spans.count
        if stored % 1_000_000 < batchSpans || stored >= total {
            let cpu = cpuSeconds() - cpuAtMark - (generation - generationAtMark)
            let wall = wallSeconds() - wallAtMark
            let millions = Double(stored % 1_000_000 < batchSpans ? 1_000_000 : stored % 1_000_000) / 1e6
            print("at \(stored): cpu_s_per_million \(show(cpu / millions, 3)) wall_spans_per_s \(show(millions * 1e6 / wall, 0)) "
                + "generation_cpu_s \(show(generation - generationAtMark)) rss_peak_mb \(show(peakRSSMegabytes(), 1))")
            generationAtMark = generation
            cpuAtMark = cpuSeconds()
            wallAtMark = wallSeconds()
        }
    }
    try store.flush()
    let cpu = cpuSeconds() - cpuAtStart - generation
    let statistics = store.statistics()
    print("total \(stored): cpu_s_per_million \(show(cpu * 1e6 / Double(stored), 3)) file_bytes_per_span "
        + "\(show(Double(statistics.fileBytes) / Double(max(1, statistics.spansStored)))) segment_bytes_per_span "
        + "\(show(Double(statistics.segmentBytes) / Double(max(1, statistics.spansStored)))) spans_stored \(statistics.spansStored) "
        + "segments \(statistics.segments) refused \(statistics.spansRefused[.overloaded, default: 0]) rss_peak_mb "
            + "\(show(peakRSSMegabytes(), 1))")
}

func percentile(_ sorted: [Double], _ share: Double) -> Double {
    sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
}

/// `cpu`: what the calling thread spent, which other processes lengthen less.
func report(_ name: String, _ times: [Double], _ found: Int, cpu: [Double]) {
    func both(_ unit: String, _ values: [Double]) -> String {
        let sorted = values.sorted()
        return "p50_\(unit) \(show(percentile(sorted, 0.5) * 1000, 3)) p99_\(unit) \(show(percentile(sorted, 0.99) * 1000, 3))"
    }
    print("\(name): \(both("ms", times)) \(both("cpu_ms", cpu)) found \(found)")
}

/// Times lookups of traces that are in the store (the generator is run again from its seed) and searches.
func query(_ store: TraceStore, _ total: Int, seed: UInt64, start: UInt64) throws(StoreError) {
    var generator = SpanGenerator(seed: seed, start: start)
    var batch = SpanBatch()
    var samples: [SpanBatch] = []
    let wanted = number("queries", 300)
    let every = max(1, total / batchSpans / wanted)
    for number in 0..<(total / batchSpans) {
        generator.fill(&batch, spans: batchSpans)
        if number % every == 0 { samples.append(batch) }
    }
    var times: [Double] = []
    var seconds: [Double] = []
    var found = 0
    for sample in samples {
        let id = sample.spans[17].traceID
        let before = wallSeconds()
        let spent = threadCPUSeconds()
        let trace = try store.trace(id)
        times.append(wallSeconds() - before)
        seconds.append(threadCPUSeconds() - spent)
        if trace.spans.count == 8 { found += 1 }
    }
    report("trace_by_id", times, found, cpu: seconds)
    var links: [Double] = []
    var linking: [Double] = []
    var calls = 0
    for _ in 0..<3 {
        let before = wallSeconds()
        let spent = threadCPUSeconds()
        calls = try store.dependencies(endTimestamp: nowMicroseconds() / 1000 + 86_400_000, lookback: 30 * 86_400_000).reduce(0) {
            $0 + Int($1.callCount)
        }
        links.append(wallSeconds() - before)
        linking.append(threadCPUSeconds() - spent)
    }
    report("dependencies", links, calls, cpu: linking)
    try Searches(store, samples).run()
}

/// Writes until killed, printing the number of each batch after it was acknowledged. A batch's number is in its spans' ids.
func crashWriter(_ store: TraceStore, from first: UInt64) throws(StoreError) {
    var number = first
    while true {
        try store.append(crashBatch(number))
        let line = Array("\(number)\n".utf8)
        _ = unsafe line.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
        number += 1
    }
}

func crashBatch(_ number: UInt64) -> SpanBatch {
    var batch = SpanBatch()
    for index in 0..<16 {
        var span = SpanRow(traceID: TraceID(high: 0xC4A5, low: number), id: SpanID(UInt64(index) + 1))
        span.timestamp = 1_700_000_000_000_000 + number
        span.localEndpoint = UInt32(batch.endpoints.count)
        batch.endpoints.append(EndpointRow(serviceName: batch.append(text: "crash")))
        batch.spans.append(span)
    }
    return batch
}

func writeFile(_ path: String, _ parts: [[UInt8]]) -> Bool {
    guard let file = unsafe fopen(path, "w") else { return false }
    var isWhole = true
    for part in parts where !part.isEmpty { isWhole = isWhole && (unsafe fwrite(part, 1, part.count, file)) == part.count }
    let isClosed = unsafe fclose(file) == 0
    return isWhole && isClosed
}

/// Writes request bodies as `usage` says; false when a file cannot be written, which has been printed.
func generate(_ encode: (SpanBatch) -> [UInt8], seed: UInt64, start: UInt64) -> Bool {
    var generator = SpanGenerator(seed: seed, start: start)
    var batch = SpanBatch()
    let count = max(1, number("bodies", 100))
    let directory = option("out-dir", "")
    let path = option("out", "spanbench-bodies")
    var bytes = 0
    let single: UnsafeMutablePointer<FILE>? = directory.isEmpty ? unsafe fopen(path, "w") : nil
    if directory.isEmpty, unsafe single == nil { print("cannot write \(path)"); return false }
    for index in 0..<count {
        generator.fill(&batch, spans: batchSpans)
        let body = encode(batch)
        bytes += body.count
        if let single = unsafe single {
            let length = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: body.count >> $0) }
            for part in [length, body] {
                guard unsafe fwrite(part, 1, part.count, single) == part.count else { print("cannot write \(path)"); return false }
            }
        } else {
            let digits = String(index)
            let name = "\(directory)/body-\(String(repeating: "0", count: max(0, 6 - digits.count)))\(digits)"
            guard writeFile(name, [body]) else { print("cannot write \(name)"); return false }
        }
    }
    if let single = unsafe single, unsafe fclose(single) != 0 { print("cannot write \(path)"); return false }
    print("bodies \(count) bytes_per_span \(show(Double(bytes) / Double(count * batchSpans), 1))")
    return true
}

do {
    let seed = UInt64(number("seed", 1))
    let start: UInt64 = UInt64(number("start", 0)) == 0 ? nowMicroseconds() - 7_200_000_000 : UInt64(number("start", 0))
    switch CommandLine.arguments.dropFirst().first {
    case "ingest":
        let store = try TraceStore.open(configuration())
        try ingest(store, number("spans", 1_000_000), seed: seed, start: start)
        store.close()
    case "query":
        let store = try TraceStore.open(configuration())
        let total = number("spans", 10_000_000)
        if store.statistics().spansStored == 0 { try ingest(store, total, seed: seed, start: start) }
        try query(store, total, seed: seed, start: start)
        store.close()
    case "crash-writer":
        let store = try TraceStore.open(configuration())
        try crashWriter(store, from: UInt64(number("from", 1)))
    case "generate-zipkin-json":
        guard generate(ZipkinBody.write, seed: seed, start: start) else { exit(1) }
    case "generate-otlp":
        guard generate(OTLPBody.write, seed: seed, start: start) else { exit(1) }
    case "--help", "help":
        print(usage)
    default:
        print(usage)
        exit(2)
    }
} catch {
    print("spanbench: \(error)")
    exit(1)
}

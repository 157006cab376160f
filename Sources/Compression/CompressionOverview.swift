// Compression: gzip, zlib and zstd over bytes in memory. Receivers unpack what senders packed, answers are packed for who asks, and the
// store keeps its texts packed.
//
// It refuses to know headers, files or formats: bytes in, bytes out. Whatever comes from outside is unpacked with a bound on what it may
// become; a failure leaves the output as it was.
//
// Threads: any; `ZstdContext` belongs to its owner's thread.
// Next file: `Gzip.swift`, then `Zstd.swift`.

internal import Compression
internal import Synchronization

/// Why a body cannot be read.
enum BodyError: Error {
    case unknownCoding(String)
    case malformed(coding: String)
    case tooLarge

    var status: UInt16 {
        switch self {
        case .unknownCoding: 415
        case .malformed: 400
        case .tooLarge: 413
        }
    }

    /// `items`: what was in it, in a sentence.
    func explanation(bytesMax: Int, items: String) -> String {
        switch self {
        case .unknownCoding(let coding): "Content-Encoding \(coding) is not supported; gzip, deflate, zstd and identity are"
        case .malformed(let coding):
            "Cannot \(["zstd", "snappy"].contains(coding) ? "unpack" : "gunzip") \(items): the body is not what its Content-Encoding says"
        case .tooLarge: "the body is too large; \(bytesMax) bytes are accepted after decompression"
        }
    }
}

/// Undoes the content coding of bodies, within a bound. Any thread; memory is kept between bodies.
final class BodyUnpacker: Sendable {
    let bytesMax: Int
    private let bytesKept: Int
    private let scratch = Mutex<[UInt8]?>([])

    init(_ limits: ReceiverLimits) {
        bytesMax = limits.bodyBytesMax
        bytesKept = limits.scratchBytesKept
    }

    /// Lends what `body` unpacks to; it is valid inside `use` only. `coding` is in lower case, empty = none.
    func withUnpacked<Result>(
        _ body: UnsafeRawBufferPointer, coding: String, _ use: (UnsafeRawBufferPointer) -> Result
    ) throws(BodyError) -> Result {
        switch coding {
        case "", "identity":
            guard body.count <= bytesMax else { throw .tooLarge }
            return unsafe use(body)
        case "gzip", "x-gzip", "deflate", "zstd", "snappy":
            // Some clients say gzip about no body at all.
            if body.count == 0 { return unsafe use(body) }
            var unpacked = scratch.withLock { kept -> [UInt8] in
                let bytes = kept ?? []
                kept = nil
                return bytes
            }
            unpacked.removeAll(keepingCapacity: true)
            defer {
                let isKept = unpacked.capacity <= bytesKept
                scratch.withLock { $0 = isKept ? unpacked : [] }
            }
            do throws(CompressionError) {
                switch coding {
                case "snappy": unsafe try Snappy.decode(body, into: &unpacked, bytesMax: bytesMax)
                case "zstd": unsafe try Zstd.decode(body, into: &unpacked, bytesMax: bytesMax)
                default: unsafe try Gzip.decode(body, into: &unpacked, bytesMax: bytesMax)
                }
            } catch {
                throw error == .tooLarge ? .tooLarge : .malformed(coding: coding)
            }
            return unsafe unpacked.withUnsafeBytes { unsafe use($0) }
        default: throw .unknownCoding(String(coding.prefix(64)))
        }
    }
}

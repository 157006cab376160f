public import TelemetryModel

/// Zipkin's JSON to spans, in one pass over the bytes (Zipkin v2 API, `POST /api/v2/spans`; semantics 2.11), and that of
/// version 1 by way of `ZipkinV1Span`.
///
/// Normalises as Zipkin does: trace ids padded to 16 or 32 digits and shortened when the upper half is zero, ids padded, names and
/// service names lower-cased, negative times absent, `shared` dropped on CLIENT, a span that is its own parent made a root,
/// annotations sorted and unique, tags unique (the last one wins), unreadable IP addresses ignored, unknown fields skipped, `null`
/// taken as absent. Numbers may stand in strings and strings may be numbers, as Gson reads them for Zipkin.
///
/// Where Zipkin refuses and nothing need be lost, the value is taken: fractions of numbers are cut off, a tag may be a boolean, and a list
/// or an object is kept as its JSON.
///
/// Where we differ: Zipkin's own server refuses a body for one bad span in it. Here a span that is JSON but no span is left out, with
/// its reason, and the others are kept. A body that is not JSON to its last byte is refused whole: what stood before the break
/// may itself have lost something.
///
/// Cost: about one pass of the body, and a second one of a refused span; no allocation beyond the batch's own growth, except for names in
/// capital letters outside ASCII and for spans with more than `tagsScannedMax` tags. Any thread; keeps nothing.
public enum ZipkinJSONDecoder {
    /// Above this many tags in one span, repeated keys are found with a hash table instead of by comparing.
    static let tagsScannedMax = 64

    public enum Version: Sendable { case v1, v2 }

    /// Appends the good spans of `body` to `batch` and says how many they were and why others were not. An empty body has none.
    ///
    /// Throws when the body is not JSON, no list or of the other version. The batch then is as it was before.
    @discardableResult
    public static func decode(
        _ body: UnsafeRawBufferPointer, version: Version = .v2, into batch: inout SpanBatch
    ) throws(ZipkinDecodeError) -> ZipkinDecodeOutcome {
        let mark = BatchMark(batch)
        let expected = body.count / 512
        batch.spans.reserveCapacity(batch.spans.count + expected)
        var pass = unsafe ZipkinJSONPass(body, version)
        do throws(JSONScanError) {
            // Half a pair of six bytes becomes three, and a byte that is no UTF-8 three.
            guard UInt64(batch.text.count) + 3 * UInt64(body.count) < UInt64(UInt32.max) else {
                throw pass.reader.scanner.error(.bodyTooLarge)
            }
            try pass.list(into: &batch)
            pass.outcome.acceptedSpans = batch.spans.count - mark.spans
            return pass.outcome
        } catch {
            mark.restore(&batch)
            throw ZipkinDecodeError(
                fault: error.fault, encoding: .json, field: pass.field, spanIndex: pass.spanIndex < 0 ? nil : pass.spanIndex,
                byteOffset: error.offset)
        }
    }

    @discardableResult
    public static func decode(_ body: RawSpan, into batch: inout SpanBatch) throws(ZipkinDecodeError) -> ZipkinDecodeOutcome {
        let result = unsafe body.withUnsafeBytes { buffer -> Result<ZipkinDecodeOutcome, ZipkinDecodeError> in
            do throws(ZipkinDecodeError) { return .success(unsafe try decode(buffer, into: &batch)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}

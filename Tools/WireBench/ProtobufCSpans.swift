import COTLP
import CProtobufC
import Glibc
import TelemetryModel

/// Memory for one unpacked message at a time: protobuf-c takes pieces off the front, and all of them are given back at once.
@safe
final class UnpackArena {
    private let base: UnsafeMutableRawPointer
    private let capacity: Int
    private var used = 0

    init(bytes: Int) {
        unsafe base = .allocate(byteCount: bytes, alignment: 16)
        capacity = bytes
    }

    deinit { unsafe base.deallocate() }

    private func take(_ bytes: Int) -> UnsafeMutableRawPointer? {
        let rounded = (bytes + 15) & ~15
        guard capacity - used >= rounded else { return nil }
        defer { used += rounded }
        return unsafe base + used
    }

    /// The request in `bytes`; valid until the next call.
    func unpack(_ bytes: UnsafeRawBufferPointer) -> UnsafeMutablePointer<Otlp__ExportTraceServiceRequest>? {
        used = 0
        var allocator = unsafe ProtobufCAllocator(
            alloc: { arena, size in
                guard let arena = unsafe arena else { return nil }
                return unsafe Unmanaged<UnpackArena>.fromOpaque(arena).takeUnretainedValue().take(size)
            }, free: { _, _ in }, allocator_data: Unmanaged.passUnretained(self).toOpaque())
        return unsafe otlp__export_trace_service_request__unpack(&allocator, bytes.count, bytes.bindMemory(to: UInt8.self).baseAddress)
    }
}

/// What a decoder on top of protobuf-c has to do at least. Rules, endpoints, events and values that are no strings are left out, so that
/// the comparison with `OTLPTraceDecoder`, which does all of it, favours protobuf-c.
enum ProtobufCSpans {
    private static func forEach(
        _ root: UnsafeMutablePointer<Otlp__ExportTraceServiceRequest>, _ body: (UnsafeMutablePointer<Otlp__Span>) -> Void
    ) {
        for resourceIndex in unsafe 0..<root.pointee.n_resource_spans {
            guard let resource = unsafe root.pointee.resource_spans[resourceIndex] else { continue }
            for scopeIndex in unsafe 0..<resource.pointee.n_scope_spans {
                guard let scope = unsafe resource.pointee.scope_spans[scopeIndex] else { continue }
                for spanIndex in unsafe 0..<scope.pointee.n_spans {
                    if let span = unsafe scope.pointee.spans[spanIndex] { unsafe body(span) }
                }
            }
        }
    }

    static func count(_ root: UnsafeMutablePointer<Otlp__ExportTraceServiceRequest>) -> Int {
        var sum = 0
        unsafe forEach(root) { span in unsafe sum &+= 1 &+ span.pointee.n_attributes }
        return sum
    }

    static func append(_ root: UnsafeMutablePointer<Otlp__ExportTraceServiceRequest>, to batch: inout SpanBatch) {
        unsafe forEach(root) { span in
            guard let trace = unsafe span.pointee.trace_id.data, unsafe span.pointee.trace_id.len == 16,
                let id = unsafe span.pointee.span_id.data, unsafe span.pointee.span_id.len == 8
            else { return }
            var row = unsafe SpanRow(traceID: TraceID(high: bigEndian(trace), low: bigEndian(trace + 8)), id: SpanID(bigEndian(id)))
            if let parent = unsafe span.pointee.parent_span_id.data, unsafe span.pointee.parent_span_id.len == 8 {
                row.parentID = unsafe SpanID(bigEndian(parent))
            }
            row.name = unsafe text(span.pointee.name, &batch)
            row.timestamp = unsafe span.pointee.start_time_unix_nano / 1000
            row.duration = unsafe (span.pointee.end_time_unix_nano &- span.pointee.start_time_unix_nano) / 1000
            row.tagStart = UInt32(batch.tags.count)
            for index in unsafe 0..<span.pointee.n_attributes {
                guard let attribute = unsafe span.pointee.attributes[index], let value = unsafe attribute.pointee.value,
                    unsafe value.pointee.value_case == OTLP__ANY_VALUE__VALUE_STRING_VALUE
                else { continue }
                let key = unsafe text(attribute.pointee.key, &batch)
                batch.tags.append(TagRow(key: key, value: unsafe text(value.pointee.string_value, &batch)))
            }
            row.tagCount = UInt32(batch.tags.count) - row.tagStart
            batch.spans.append(row)
        }
    }

    private static func bigEndian(_ bytes: UnsafeMutablePointer<UInt8>) -> UInt64 {
        unsafe UInt64(bigEndian: UnsafeRawPointer(bytes).loadUnaligned(as: UInt64.self))
    }

    private static func text(_ string: UnsafeMutablePointer<CChar>?, _ batch: inout SpanBatch) -> TextRef {
        guard let string = unsafe string else { return .empty }
        let start = batch.text.count
        let count = unsafe strlen(string)
        unsafe batch.text.append(contentsOf: UnsafeRawBufferPointer(start: string, count: count))
        return TextRef(offset: UInt32(start), count: UInt32(count))
    }
}

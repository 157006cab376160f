/// Which fields OTLP's messages have in JSON: their numbers in protobuf and what they hold (opentelemetry-proto; semantics 2.12). Fields
/// that are not read here are left out.
enum OTLPJSONSchema {
    /// Messages of the schema.
    enum Message: UInt8 {
        case request, resourceSpans, resource, scopeSpans, scope, span, event, link, status, keyValue, anyValue, list, map
        case metricsRequest, resourceMetrics, scopeMetrics, metric, gauge, sum, histogram, exponentialHistogram, summary
        case numberPoint, histogramPoint, exponentialPoint, buckets, summaryPoint, quantile, exemplar
    }

    enum Kind {
        case message(Message), messages(Message), scalar(Scalar), scalars(Scalar)
    }

    enum Scalar {
        case text, hexadecimal, base64
        case fixed64, integer, count, boolean, double
        case spanKind, statusCode, temporality
        case signedFixed64, zigzag
    }

    static func field(_ message: Message, _ key: JSONString, _ scanner: JSONScanner) -> (number: UInt8, kind: Kind)? {
        func names(_ name: StaticString) -> Bool { scanner.equals(key, name) }
        switch message {
        case .request: if names("resourceSpans") { return (1, .messages(.resourceSpans)) }
        case .resourceSpans:
            if names("resource") { return (1, .message(.resource)) }
            if names("scopeSpans") { return (2, .messages(.scopeSpans)) }
        case .resource:
            if names("attributes") { return (1, .messages(.keyValue)) }
            if names("droppedAttributesCount") { return (2, .scalar(.count)) }
        case .scopeSpans:
            if names("scope") { return (1, .message(.scope)) }
            if names("spans") { return (2, .messages(.span)) }
        case .scope:
            if names("name") { return (1, .scalar(.text)) }
            if names("version") { return (2, .scalar(.text)) }
            if names("attributes") { return (3, .messages(.keyValue)) }
            if names("droppedAttributesCount") { return (4, .scalar(.count)) }
        case .span:
            if names("traceId") { return (1, .scalar(.hexadecimal)) }
            if names("spanId") { return (2, .scalar(.hexadecimal)) }
            if names("traceState") { return (3, .scalar(.text)) }
            if names("parentSpanId") { return (4, .scalar(.hexadecimal)) }
            if names("name") { return (5, .scalar(.text)) }
            if names("kind") { return (6, .scalar(.spanKind)) }
            if names("startTimeUnixNano") { return (7, .scalar(.fixed64)) }
            if names("endTimeUnixNano") { return (8, .scalar(.fixed64)) }
            if names("attributes") { return (9, .messages(.keyValue)) }
            if names("droppedAttributesCount") { return (10, .scalar(.count)) }
            if names("events") { return (11, .messages(.event)) }
            if names("droppedEventsCount") { return (12, .scalar(.count)) }
            if names("links") { return (13, .messages(.link)) }
            if names("droppedLinksCount") { return (14, .scalar(.count)) }
            if names("status") { return (15, .message(.status)) }
        case .event:
            if names("timeUnixNano") { return (1, .scalar(.fixed64)) }
            if names("name") { return (2, .scalar(.text)) }
            if names("attributes") { return (3, .messages(.keyValue)) }
            if names("droppedAttributesCount") { return (4, .scalar(.count)) }
        case .link:
            if names("traceId") { return (1, .scalar(.hexadecimal)) }
            if names("spanId") { return (2, .scalar(.hexadecimal)) }
            if names("traceState") { return (3, .scalar(.text)) }
            if names("attributes") { return (4, .messages(.keyValue)) }
            if names("droppedAttributesCount") { return (5, .scalar(.count)) }
        case .status:
            if names("message") { return (2, .scalar(.text)) }
            if names("code") { return (3, .scalar(.statusCode)) }
        case .keyValue:
            if names("key") { return (1, .scalar(.text)) }
            if names("value") { return (2, .message(.anyValue)) }
        case .anyValue:
            if names("stringValue") { return (1, .scalar(.text)) }
            if names("boolValue") { return (2, .scalar(.boolean)) }
            if names("intValue") { return (3, .scalar(.integer)) }
            if names("doubleValue") { return (4, .scalar(.double)) }
            if names("arrayValue") { return (5, .message(.list)) }
            if names("kvlistValue") { return (6, .message(.map)) }
            if names("bytesValue") { return (7, .scalar(.base64)) }
        case .list: if names("values") { return (1, .messages(.anyValue)) }
        case .map: if names("values") { return (1, .messages(.keyValue)) }
        default: return metricsField(message, key, scanner)
        }
        return nil
    }

    /// opentelemetry/proto/metrics/v1/metrics.proto.
    private static func metricsField(_ message: Message, _ key: JSONString, _ scanner: JSONScanner) -> (number: UInt8, kind: Kind)? {
        func names(_ name: StaticString) -> Bool { scanner.equals(key, name) }
        switch message {
        case .metricsRequest: if names("resourceMetrics") { return (1, .messages(.resourceMetrics)) }
        case .resourceMetrics:
            if names("resource") { return (1, .message(.resource)) }
            if names("scopeMetrics") { return (2, .messages(.scopeMetrics)) }
        case .scopeMetrics:
            if names("scope") { return (1, .message(.scope)) }
            if names("metrics") { return (2, .messages(.metric)) }
            if names("schemaUrl") { return (3, .scalar(.text)) }
        case .metric:
            if names("name") { return (1, .scalar(.text)) }
            if names("unit") { return (3, .scalar(.text)) }
            if names("gauge") { return (5, .message(.gauge)) }
            if names("sum") { return (7, .message(.sum)) }
            if names("histogram") { return (9, .message(.histogram)) }
            if names("exponentialHistogram") { return (10, .message(.exponentialHistogram)) }
            if names("summary") { return (11, .message(.summary)) }
        case .gauge, .sum, .histogram, .exponentialHistogram, .summary:
            if names("dataPoints") { return (1, .messages(points(of: message))) }
            if names("aggregationTemporality") { return (2, .scalar(.temporality)) }
            if names("isMonotonic") { return (3, .scalar(.boolean)) }
        case .quantile:
            if names("quantile") { return (1, .scalar(.double)) }
            if names("value") { return (2, .scalar(.double)) }
        case .buckets:
            if names("offset") { return (1, .scalar(.zigzag)) }
            if names("bucketCounts") { return (2, .scalars(.count)) }
        default: return pointField(message, key, scanner)
        }
        return nil
    }

    private static func points(of message: Message) -> Message {
        switch message {
        case .histogram: .histogramPoint
        case .exponentialHistogram: .exponentialPoint
        case .summary: .summaryPoint
        default: .numberPoint
        }
    }

    private static func exemplarField(_ key: JSONString, _ scanner: JSONScanner) -> (number: UInt8, kind: Kind)? {
        func names(_ name: StaticString) -> Bool { scanner.equals(key, name) }
        if names("timeUnixNano") { return (2, .scalar(.fixed64)) }
        if names("asDouble") { return (3, .scalar(.double)) }
        if names("asInt") { return (6, .scalar(.signedFixed64)) }
        if names("spanId") { return (4, .scalar(.hexadecimal)) }
        return names("traceId") ? (5, .scalar(.hexadecimal)) : nil
    }

    private static func pointField(_ message: Message, _ key: JSONString, _ scanner: JSONScanner) -> (number: UInt8, kind: Kind)? {
        func names(_ name: StaticString) -> Bool { scanner.equals(key, name) }
        if case .exemplar = message { return exemplarField(key, scanner) }
        if names("startTimeUnixNano") { return (2, .scalar(.fixed64)) }
        if names("timeUnixNano") { return (3, .scalar(.fixed64)) }
        switch message {
        case .numberPoint:
            if names("attributes") { return (7, .messages(.keyValue)) }
            if names("asDouble") { return (4, .scalar(.double)) }
            if names("asInt") { return (6, .scalar(.signedFixed64)) }
            if names("flags") { return (8, .scalar(.count)) }
            if names("exemplars") { return (5, .messages(.exemplar)) }
        case .histogramPoint:
            if names("attributes") { return (9, .messages(.keyValue)) }
            if names("count") { return (4, .scalar(.fixed64)) }
            if names("sum") { return (5, .scalar(.double)) }
            if names("bucketCounts") { return (6, .scalars(.fixed64)) }
            if names("explicitBounds") { return (7, .scalars(.double)) }
            if names("flags") { return (10, .scalar(.count)) }
            if names("exemplars") { return (8, .messages(.exemplar)) }
        case .exponentialPoint:
            if names("attributes") { return (1, .messages(.keyValue)) }
            if names("count") { return (4, .scalar(.fixed64)) }
            if names("sum") { return (5, .scalar(.double)) }
            if names("scale") { return (6, .scalar(.zigzag)) }
            if names("zeroCount") { return (7, .scalar(.fixed64)) }
            if names("positive") { return (8, .message(.buckets)) }
            if names("negative") { return (9, .message(.buckets)) }
            if names("flags") { return (10, .scalar(.count)) }
            if names("zeroThreshold") { return (14, .scalar(.double)) }
            if names("exemplars") { return (11, .messages(.exemplar)) }
        case .summaryPoint:
            if names("attributes") { return (7, .messages(.keyValue)) }
            if names("count") { return (4, .scalar(.fixed64)) }
            if names("sum") { return (5, .scalar(.double)) }
            if names("quantileValues") { return (6, .messages(.quantile)) }
            if names("flags") { return (8, .scalar(.count)) }
        default: break
        }
        return nil
    }
}

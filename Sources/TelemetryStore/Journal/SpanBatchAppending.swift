import TelemetryModel

extension SpanBatch {
    /// Appends another batch's spans with everything they refer to.
    mutating func append(contentsOf other: SpanBatch) {
        if spans.isEmpty {
            self = other
            return
        }
        let textBase = UInt32(clamping: text.count)
        let tagBase = UInt32(clamping: tags.count)
        let annotationBase = UInt32(clamping: annotations.count)
        let endpointBase = UInt32(clamping: endpoints.count)
        func moved(_ reference: TextRef) -> TextRef { TextRef(offset: reference.offset &+ textBase, count: reference.count) }
        text.append(contentsOf: other.text)
        for tag in other.tags { tags.append(TagRow(key: moved(tag.key), value: moved(tag.value))) }
        for annotation in other.annotations {
            annotations.append(AnnotationRow(timestamp: annotation.timestamp, value: moved(annotation.value)))
        }
        for endpoint in other.endpoints {
            var endpoint = endpoint
            endpoint.serviceName = moved(endpoint.serviceName)
            endpoints.append(endpoint)
        }
        for span in other.spans {
            var span = span
            span.name = moved(span.name)
            span.tagStart &+= tagBase
            span.annotationStart &+= annotationBase
            if span.localEndpoint != EndpointRow.absent { span.localEndpoint &+= endpointBase }
            if span.remoteEndpoint != EndpointRow.absent { span.remoteEndpoint &+= endpointBase }
            spans.append(span)
        }
    }
}

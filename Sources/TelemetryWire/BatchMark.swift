import TelemetryModel

/// How full a batch was, to go back to it when a body, or a span in one, turns out bad.
struct BatchMark {
    let text: Int
    let spans: Int
    let tags: Int
    let annotations: Int
    let endpoints: Int

    init(_ batch: SpanBatch) {
        text = batch.text.count
        spans = batch.spans.count
        tags = batch.tags.count
        annotations = batch.annotations.count
        endpoints = batch.endpoints.count
    }

    func restore(_ batch: inout SpanBatch) {
        if batch.text.count > text { batch.text.removeSubrange(text...) }
        if batch.spans.count > spans { batch.spans.removeSubrange(spans...) }
        if batch.tags.count > tags { batch.tags.removeSubrange(tags...) }
        if batch.annotations.count > annotations { batch.annotations.removeSubrange(annotations...) }
        if batch.endpoints.count > endpoints { batch.endpoints.removeSubrange(endpoints...) }
    }
}

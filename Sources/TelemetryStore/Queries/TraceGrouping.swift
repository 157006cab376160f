import TelemetryModel

/// Which trace ids are one trace's: with `STRICT_TRACE_ID=false`, as in Zipkin, all whose low halves are equal, because some of a trace's
/// services keep only that.
struct TraceGrouping {
    var isStrict: Bool

    func key(_ id: TraceID) -> TraceID { isStrict ? id : TraceID(high: 0, low: id.low) }
}

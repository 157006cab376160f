// TelemetryModel: the values that leave the request path, and the spans that everybody sends us.
//
// It holds layouts, not behaviour: `RequestRecord` (one per finished request, written by a proxy worker into its ring),
// `SpanBatch` (decoded spans, whoever sent them; other signals' batches are `TelemetryBatch`es as well), `BatchSink` (who stores them),
// `StoreStatistics` (how a store is), trace identifiers, the RED series layout. It knows no wire format
// (TelemetryWire), no file (TelemetryStore) and no socket.
//
// Threads: values only; each is owned by whoever holds it.
// Next file: `SpanBatch.swift`.

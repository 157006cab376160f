// TelemetryStore: every acknowledged span, in one SQLite file that is never slower for being full.
//
// Purpose: take decoded spans (`SpanBatch`), make them durable before saying so, keep them searchable with Zipkin's query
// semantics, and forget them by age and size. It refuses to parse wire formats, to own sockets, and to keep an index row per span.
//
// The life of a span:
//   submit ─▶ bounded queue ─▶ writer thread: `JournalEncoder` (dictionary + shapes) ─▶ table journal, group commit ─▶ acknowledged
//                                                         └▶ `HeadBatch`: the same bytes, in memory, searched at once
//   compactor thread: head batches ─▶ `SegmentBuilder` (spans by trace, one column per tag key and value type) ─▶ tables
//   segment and block, in the same transaction that deletes the journal rows they came from.
//
// Invariants: a completion is called with success only after its journal row is committed. A span is in the head or in exactly
// one segment, and a reader sees one moment of that. Bytes from the file are checked before use; a bad segment is skipped and counted.
//
// Threads: `TraceStore` may be called from any thread. The write connection belongs to the writer thread; readers borrow
// connections from a pool. Next file: `Store/TraceStore.swift`; then `Writing`, `Journal`, `Segments` in the order of a span, and `Queries`, `Links` for what is read.

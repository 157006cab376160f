// TelemetryStore: telemetry in one SQLite file that is never slower for being full. Every acknowledged span is in it.
//
// Purpose: take decoded batches, make them durable before saying so, keep them searchable, and forget them by age and size. It refuses to
// parse wire formats, to own sockets, and to keep an index row per span.
//
// The file (`File`): one database under a lock, one writer thread with a group commit, one maintenance thread, and sets of tables side by
// side (`Stores` says which). A set (`TableSet`) has its own migrations, its own queue of batches, its own readers and its own upkeep; the
// file knows no signal.
//
// The traces (`Traces`) are such a set. The life of a span:
//   submit ─▶ `WriteQueue` ─▶ writer thread: `TraceJournal` (dictionary + shapes) ─▶ table journal, group commit ─▶ acknowledged
//                                                         └▶ `HeadBatch`: the same bytes, in memory, searched at once
//   maintenance thread: `Compactor`: head batches ─▶ `SegmentBuilder` (spans by trace, one column per tag key and value type) ─▶ tables
//   segment and block, in the same transaction that deletes the journal rows they came from.
//
// The series (`Series`) are another set, with the same promises; the life of a sample:
//   append ─▶ `SeriesIntake` ─▶ `SeriesJournal`: rows, group commit ─▶ acknowledged ─▶ `SeriesHead` in memory
//   maintenance thread: `HeadFolder`: sections ─▶ blocks; `TierAdvance`: head ─▶ tier 0 ─▶ coarser tiers, a span in one transaction.
// Next file there: `Series/SeriesStore.swift`, then `SeriesTables.swift`; `Index`, `Head`, `Tiers`, `Queries`.
//
// Invariants: a completion is called with success only after its rows are committed. A span is in the head or in exactly one segment, and a
// reader sees one moment of that. Bytes from the file are checked before use; a bad segment is skipped and counted.
//
// Threads: `StoreFile` and `TraceStore` may be called from any thread. The write connection belongs to the writer thread; readers borrow
// connections from a pool. Next file: `Traces/TraceStore.swift` and `File/StoreFile.swift`; then `Journal`, `Compaction`, `Segments` in the
// order of a span, and `Queries`, `Links` for what is read.

// PromQL: the query language of Prometheus 3 (prometheus.io/docs/prometheus/latest/querying), from its text to values.
//
// In: a text, a time or a range of times, and a `SeriesSource` that is asked for samples. Out: scalars, texts, vectors or matrices, with
// warnings and infos in the words of Prometheus. Errors are Prometheus' too, word for word where its users see them.
//
// It refuses: experimental functions and modifiers (with Prometheus' text), and whatever goes beyond `PromQLLimits`. It knows no store, no
// HTTP, no clock: the deadline is a question that is asked regularly.
//
// Calls go one way: `PromQLEngine` → `Evaluator` → the families of functions, each of which takes rows and returns rows.
//   Syntax/    text → tokens (`Lexer`) → tree (`Parser`, `TypeChecker`) → text again (`Printer`, `PrettyPrinter`)
//   Types/     what is asked, what comes out, what goes wrong; numbers as Go writes them
//   Evaluate/  a tree over a grid of times
//
// Invariants:
// - A `Row` is one series over the grid, one number a step. The staleness marker in it means that there is no sample: no
//   sample of a result is ever stale, and no arithmetic makes that bit pattern.
// - An expression is evaluated once over the whole grid, not step by step; labels are handled once a series. The numbers are those that
//   Prometheus computes step by step, bit by bit, as sums go in the same order.
// - What is held is charged to the `Session` before it is allocated; work asks for the deadline at least every few thousand samples.
// - Depth of trees is bounded by the parser, so that recursion over them is.
//
// Threads: an evaluation belongs to its caller's thread; parsed queries are values.
// Next file: `PromQLEngine.swift`.

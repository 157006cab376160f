// MeshConfig: Istio resources from YAML text to typed, validated values that remember where they were written.
//
// In: files, directories or text in memory. Out: one `MeshConfiguration` (typed resources) and a `DiagnosticList`.
// A configuration is usable only when the list has no error; a bad one never replaces a good one (the caller keeps
// the last good value, see MeshRuntime).
//
// The way of a document (`Loading`, `Schema`, `Resources`, `Checks`), one file each:
//   YAMLLoader      bytes -> `YAMLNode` trees with positions, by libyaml events; every bound of `ConfigLimits` is here
//   Schema*         the Istio API as tables: every message, field, type and enum name
//   SchemaValidator tree against tables: unknown fields, wrong types, enum names, ranges, deprecated spellings
//   EffectTable     which fields are parsed but not acted upon yet; one row each
//   VirtualService, DestinationRule, ... the typed model and how a tree becomes one
//   *Checks         rules across the fields of one resource, then across resources
//   Analysis/       `skein analyze`: findings with hints, beyond what a start needs to know; `--fix`
//
// It refuses: to guess (an unknown field is an error, not a warning), to stop at the first error, to drop anything
// silently (Kubernetes' own kinds are reported as ignored), to compile regexes (Routing does, with RE2; each regex keeps
// its position), to resolve names over the network, to watch files.
//
// Invariants: no input ends the process or costs more than the bounds in `ConfigLimits`; loading is a pure function of
// the texts; resources keep the order of files and documents.
//
// Threads: values only, Sendable; loading happens on the caller's thread, never on a worker.
// Next file: `MeshConfiguration.swift`.

// Primitives: bytes, bounded collections, timers, clocks and identifiers that know no domain word.
//
// Everything here is confined to one thread unless its own comment says otherwise (`RecordRing` has exactly two
// sides, `UnixPathTable` serves any thread). Nothing here does I/O. Numbers that may come from the wire never trap.
//
// Next file: `ByteBuffer.swift`.

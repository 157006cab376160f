import TelemetryModel

/// What every decoder does to the rows of a span once all of them are there.
enum SpanRows {
    /// Ends a span whose tags and annotations are the last rows of `batch`, from `row`'s starts on.
    static func finish(_ row: inout SpanRow, _ batch: inout SpanBatch) {
        uniqueTags(from: Int(row.tagStart), &batch)
        sortAnnotations(from: Int(row.annotationStart), &batch)
        row.tagCount = UInt32(truncatingIfNeeded: batch.tags.count) &- row.tagStart
        row.annotationCount = UInt32(truncatingIfNeeded: batch.annotations.count) &- row.annotationStart
    }

    /// Makes the keys of `batch.tags[start...]` unique: the last value wins and keeps the first one's place.
    static func uniqueTags(from start: Int, _ batch: inout SpanBatch) {
        let count = batch.tags.count - start
        guard count > 1 else { return }
        if count <= ZipkinJSONDecoder.tagsScannedMax, !hasRepeatedKey(start, batch) { return }
        var places: [String: Int] = [:]
        places.reserveCapacity(count)
        var kept = start
        for index in start..<batch.tags.count {
            let tag = batch.tags[index]
            let key = batch.string(tag.key)
            if let place = places[key] {
                batch.tags[place].value = tag.value
            } else {
                places[key] = kept
                batch.tags[kept] = tag
                kept += 1
            }
        }
        batch.tags.removeSubrange(kept...)
    }

    private static func hasRepeatedKey(_ start: Int, _ batch: SpanBatch) -> Bool {
        unsafe batch.tags.withUnsafeBufferPointer { tags in
            unsafe batch.text.withUnsafeBufferPointer { text in
                // Two keys whose ends are unequal are not compared: a bit per end says whether one like it was there before.
                var seen: UInt64 = 0
                for index in start..<tags.count {
                    let key = unsafe tags[index].key
                    let bit = unsafe fingerprint(text, key)
                    let wasSeen = seen & bit != 0
                    seen |= bit
                    if !wasSeen { continue }
                    for earlier in start..<index {
                        let other = unsafe tags[earlier].key
                        if other.count == key.count, unsafe equal(text, Int(other.offset), Int(key.offset), Int(key.count)) { return true }
                    }
                }
                return false
            }
        }
    }

    /// One bit of 64, the same for equal keys.
    @inline(__always)
    private static func fingerprint(_ text: UnsafeBufferPointer<UInt8>, _ key: TextRef) -> UInt64 {
        let end = Int(key.offset) &+ Int(key.count)
        var word = UInt64(key.count)
        if key.count >= 8 {
            word ^= unsafe UnsafeRawBufferPointer(text).loadUnaligned(fromByteOffset: end &- 8, as: UInt64.self)
        } else {
            for index in Int(key.offset)..<end { word = word << 8 ^ UInt64(unsafe text[index]) }
        }
        return 1 << ((word &* 0x9E37_79B9_7F4A_7C15) >> 58)
    }

    @inline(__always)
    private static func equal(_ text: UnsafeBufferPointer<UInt8>, _ first: Int, _ second: Int, _ count: Int) -> Bool {
        // The last byte differs most often between keys such as `http.method` and `http.scheme`.
        var index = count - 1
        while index >= 0 {
            if unsafe text[first + index] != text[second + index] { return false }
            index -= 1
        }
        return true
    }

    /// Sorts `batch.annotations[start...]` by time, then value, and drops repetitions, as Zipkin does.
    static func sortAnnotations(from start: Int, _ batch: inout SpanBatch) {
        guard batch.annotations.count - start > 1 else { return }
        var isSorted = true
        for index in start + 1..<batch.annotations.count
        where batch.annotations[index - 1].timestamp >= batch.annotations[index].timestamp {
            isSorted = false
            break
        }
        if isSorted { return }
        let text = batch.text
        func bytes(_ row: AnnotationRow) -> ArraySlice<UInt8> { text[Int(row.value.offset)..<Int(row.value.offset) + Int(row.value.count)] }
        batch.annotations[start...].sort { first, second in
            if first.timestamp != second.timestamp { return first.timestamp < second.timestamp }
            return bytes(first).lexicographicallyPrecedes(bytes(second))
        }
        var kept = start + 1
        for index in start + 1..<batch.annotations.count {
            let row = batch.annotations[index]
            let last = batch.annotations[kept - 1]
            if row.timestamp == last.timestamp, bytes(row) == bytes(last) { continue }
            batch.annotations[kept] = row
            kept += 1
        }
        batch.annotations.removeSubrange(kept...)
    }
}

enum TextCase {
    /// Lower-cases `text[reference.offset...]`, the last thing appended to the arena; it may change its length outside ASCII.
    static func lowercase(_ reference: TextRef, isASCII: Bool, _ text: inout [UInt8]) {
        let start = Int(reference.offset)
        if isASCII {
            for index in start..<text.count where text[index] &- 0x41 < 26 { text[index] |= 0x20 }
            return
        }
        let lowered = String(decoding: text[start...], as: UTF8.self).lowercased()
        text.removeSubrange(start...)
        text.append(contentsOf: lowered.utf8)
    }
}

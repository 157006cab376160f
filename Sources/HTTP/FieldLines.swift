public import Primitives

/// Field lines in the form in which we write them ourselves, `Name: value CR LF` one after the other, while their message is put together.
public enum FieldLines {
    /// Takes the lines out of `place` whose names are to go. `place` begins with a line and ends behind one.
    @unsafe
    public static func remove(from buffer: inout ByteBuffer, in place: Range<Int>, where goes: (UnsafeRawBufferPointer) -> Bool) {
        var start = place.lowerBound
        var end = place.upperBound
        while start < end {
            let lines = unsafe UnsafeRawBufferPointer(rebasing: buffer.readable[..<end])
            guard let colon = unsafe lines.firstIndex(of: UInt8(ascii: ":"), from: start),
                let last = unsafe lines.firstIndex(of: 13, from: colon)
            else { return }
            let next = min(last + 2, end)
            if unsafe goes(UnsafeRawBufferPointer(rebasing: lines[start..<colon])) {
                buffer.remove(start..<next)
                end -= next - start
            } else {
                start = next
            }
        }
    }

    /// The value of the first line called `name`, from `start` on, where a line begins; nil = there is none.
    @unsafe
    public static func value(of name: UnsafeRawBufferPointer, in text: UnsafeRawBufferPointer, from begin: Int) -> UnsafeRawBufferPointer? {
        var start = begin
        while start < text.count, let end = unsafe text.firstIndex(of: 13, from: start) {
            let line = unsafe UnsafeRawBufferPointer(rebasing: text[start..<end])
            if line.count > name.count, unsafe line[name.count] == UInt8(ascii: ":"),
                unsafe ASCII.equalIgnoringCase(UnsafeRawBufferPointer(rebasing: line[..<name.count]), name)
            {
                return unsafe ASCII.trim(UnsafeRawBufferPointer(rebasing: line[(name.count + 1)...]))
            }
            start = end + 2
        }
        return nil
    }

    @unsafe
    public static func value(of name: StaticString, in text: UnsafeRawBufferPointer, from start: Int) -> UnsafeRawBufferPointer? {
        unsafe value(of: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), in: text, from: start)
    }
}

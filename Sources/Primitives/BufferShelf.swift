/// Warm buffers of one thread: a connection has one while bytes wait in it, and an idle connection has none.
public struct BufferShelf: ~Copyable {
    private var buffers = InlineArray<16, ByteBuffer> { _ in ByteBuffer() }
    private var count = 0

    /// A buffer that has grown beyond this is not kept, bytes.
    public static let capacityMax = 64 * 1024

    public init() {}

    /// Gives `buffer`, which has no memory, that of a buffer of the shelf, if there is one.
    @inlinable
    public mutating func lend(_ buffer: inout ByteBuffer) {
        if buffer.capacity == 0 { give(&buffer) }
    }

    @usableFromInline
    mutating func give(_ buffer: inout ByteBuffer) {
        guard count > 0 else { return }
        count -= 1
        swap(&buffers[count], &buffer)
    }

    /// Takes the memory of an empty buffer, or frees it where there is enough.
    public mutating func take(back buffer: inout ByteBuffer) {
        guard buffer.capacity > 0 else { return }
        guard count < buffers.count, buffer.capacity <= Self.capacityMax else {
            buffer.release()
            return
        }
        buffer.clear(keeping: Self.capacityMax)
        swap(&buffers[count], &buffer)
        count += 1
    }
}

internal import HTTP
internal import Primitives
internal import Routing

/// Trailer sections on their way, in either direction and version. What a head is cleaned of must not come behind the body instead: a field that a
/// trailer section may not have (`FieldRules.isForbiddenInTrailers`), that the route removes or sets, or that has one of our names with underscores is
/// left out and counted.
extension ProxyWorker {
    /// Keeps the lines of the section in `head` for the upstream.
    mutating func keepRequestTrailers(_ exchange: UnsafeMutablePointer<Exchange>) {
        unsafe exchange.pointee.requestTrailers.clear()
        let route = unsafe exchange.pointee.route
        let edits = unsafe route >= 0 ? tables(exchange).requestEdits(destination: exchange.pointee.destination) : HeaderEdits()
        for index in 0..<head.fieldCount where unsafe passes(trailer: index, edits, exchange) {
            unsafe Self.appendField(head, index, to: &exchange.pointee.requestTrailers)
        }
    }

    /// Keeps the lines of the section in `head` for the client, in `trailerScratch`.
    mutating func keepResponseTrailers(_ exchange: UnsafeMutablePointer<Exchange>) {
        trailerScratch.clear()
        let edits = unsafe exchange.pointee.flags.contains(.editsResponse)
            ? tables(exchange).responseEdits(destination: exchange.pointee.destination) : HeaderEdits()
        for index in 0..<head.fieldCount where unsafe passes(trailer: index, edits, exchange) {
            Self.appendField(head, index, to: &trailerScratch)
        }
    }

    private mutating func passes(trailer index: Int, _ edits: HeaderEdits, _ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let name = unsafe head.name(at: index)
        if unsafe FieldRules.isForbiddenInTrailers(name) || head.field(index).hasUnderscore && HeaderName.isLookalike(name)
            || edits.isActive && tables(exchange).drops(edits, name)
        {
            handle.statistics.add(handle.statistics.fieldsDropped)
            return false
        }
        return true
    }
}

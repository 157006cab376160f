internal import Matching
public import Primitives

/// CORS as a route's policy has it (fetch.spec.whatwg.org 3.2, as Envoy's filter does it).
extension RoutingTables {
    /// Whether the policy allows an `Origin`.
    public func allows(cors index: Int32, origin: LentBytes) -> Bool {
        let view = self.view
        return view.rows.cors[Int(index)].origins.indices.contains { view.rows.matchers.test(view.rows.originMatchers[$0], origin) }
    }

    /// Calls `add` with each field that a response to an allowed origin carries. The values last as long as the call.
    public func corsFields(
        _ index: Int32, isPreflight: Bool, origin: LentBytes, _ add: (StaticString, LentBytes) -> Void
    ) {
        add("access-control-allow-origin", origin)
        view.addCORSFields(index, isPreflight: isPreflight, add)
    }

    public func saysCredentials(cors index: Int32) -> Bool { view.rows.cors[Int(index)].allowsCredentials }
    public func saysExposed(cors index: Int32) -> Bool { !view.rows.cors[Int(index)].exposed.isEmpty }

    /// `unmatchedPreflights: IGNORE`: a preflight from an origin that is not allowed is answered here, without the fields that would allow
    /// it.
    public func answersUnmatchedPreflight(_ index: Int32) -> Bool { view.rows.cors[Int(index)].answersUnmatched }
}

extension TableView {
    func addCORSFields(_ index: Int32, isPreflight: Bool, _ add: (StaticString, LentBytes) -> Void) {
        let entry = rows.cors[Int(index)]
        if !entry.exposed.isEmpty { add("access-control-expose-headers", bytes(entry.exposed)) }
        if entry.allowsCredentials { add("access-control-allow-credentials", LentBytes("true")) }
        guard isPreflight else { return }
        if !entry.methods.isEmpty { add("access-control-allow-methods", bytes(entry.methods)) }
        if !entry.headers.isEmpty { add("access-control-allow-headers", bytes(entry.headers)) }
        guard entry.maxAge >= 0 else { return }
        unsafe withUnsafeTemporaryAllocation(byteCount: 20, alignment: 8) { digits in
            guard let base = unsafe digits.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
            let count = unsafe writeDecimal(UInt64(clamping: entry.maxAge), to: base)
            unsafe add("access-control-max-age", LentBytes(UnsafeRawBufferPointer(start: base, count: count)))
        }
    }
}

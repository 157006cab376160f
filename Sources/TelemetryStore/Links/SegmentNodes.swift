import TelemetryModel

/// Reads the spans of a segment's blocks as the linker needs them: ids, parents, shapes and local endpoints, without unpacking any text.
struct SegmentNodes {
    private let header: SegmentHeader
    /// By shape; ids and endpoints beyond the service are filled in for each span.
    private var nodes: [LinkNode] = []
    /// By shape: which of `endpoints` are its local endpoint's parts. Flat lists: a reference counted for each span took half of the time.
    private var endpointRanges: [Range<Int>] = []
    private var endpoints: [(key: UInt32, column: Int)] = []
    private let hasPlainRows: Bool

    init(_ header: SegmentHeader, _ services: inout ServiceNumbers) {
        self.header = header
        hasPlainRows = !header.plainNames.isEmpty
        let errorKey = header.strings.find(Array("error".utf8)).map { UInt32($0) + PayloadKey.firstString }
        var numbers = [Int32](repeating: -1, count: header.strings.count + 1)
        func service(_ string: UInt32, _ services: inout ServiceNumbers) -> Int {
            guard string > 0, string < numbers.count else { return 0 }
            if numbers[Int(string)] < 0 { numbers[Int(string)] = services.number(header.strings.string(Int(string) - 1)) }
            return Int(numbers[Int(string)])
        }
        for (number, shape) in header.shapes.enumerated() {
            nodes.append(LinkNode(
                id: 0, parentID: 0, kind: shape.kind, isShared: shape.flags & SpanFlags.shared.rawValue != 0,
                hasError: shape.payloads.contains { $0.key == errorKey },
                localService: service(shape.localService, &services), remoteService: service(shape.remoteService, &services)))
            let start = endpoints.count
            for (index, payload) in shape.payloads.enumerated() where payload.key <= PayloadKey.localIPv6 {
                endpoints.append((payload.key, header.shapeColumns[number][index]))
            }
            endpointRanges.append(start..<endpoints.count)
        }
    }

    /// Calls `body` with each span of the entries that `wants`, in order; false for damaged bytes. `ids` are the entries' trace ids.
    func read(
        _ block: Int, _ hot: UnsafeRawBufferPointer, _ cold: UnsafeRawBufferPointer, _ zstd: ZstdCodec, _ services: inout ServiceNumbers,
        wants: (_ entry: Int) -> Bool, _ body: (_ entry: Int, _ node: LinkNode, _ timestamp: UInt64) -> Void
    ) -> Bool {
        guard let opened = unsafe SegmentBlock(header: header, block: block, hot: hot),
            let openedCold = unsafe SegmentBlockCold(header: header, block: block, cold: cold, zstd, texts: hasPlainRows)
        else { return false }
        /// Values consumed so far, by key of the local endpoint.
        var ranks = [Int](repeating: 0, count: Int(PayloadKey.localIPv6) + 1)
        var externalRank = 0
        var plainRank = 0
        var row = 0
        for entry in 0..<opened.entry.traceCount {
            let start = row
            let end = row + Int(opened.traceSpanCounts[entry])
            let base = opened.traceBases[entry]
            let isWanted = wants(entry)
            while row < end {
                let shape = Int(opened.shapes[row])
                let isPlain = shape == 0
                let parentCode = opened.parents[row]
                if isWanted {
                    var parent: UInt64 = 0
                    if parentCode == 1 {
                        parent = openedCold.externalParent(externalRank)
                    } else if parentCode > 1, parentCode - 2 < UInt64(end - start) {
                        parent = openedCold.spanID(start + Int(parentCode - 2))
                    }
                    var node = nodes[shape]
                    if isPlain {
                        openedCold.withPlain(plainRank) { node = plainNode(&$0, &services) }
                    } else {
                        for at in endpointRanges[shape] {
                            let (key, column) = endpoints[at]
                            let rank = ranks[Int(key)]
                            let (a, b) = key == PayloadKey.localIPv6
                                ? openedCold.wideValue(column, rank, isHalf: false) : (opened.first[column][rank], UInt64(0))
                            node.local.set(key, a, b)
                        }
                    }
                    node.id = openedCold.spanID(row)
                    node.parentID = parent == node.id ? 0 : parent
                    body(entry, node, opened.timestamp(row, base: base))
                }
                if isPlain { plainRank += 1 }
                if parentCode == 1 { externalRank += 1 }
                for at in endpointRanges[shape] { ranks[Int(endpoints[at].key)] += 1 }
                row += 1
            }
        }
        return true
    }

    private func plainNode(_ reader: inout ByteReader, _ services: inout ServiceNumbers) -> LinkNode {
        var batch = SpanBatch()
        var assembler = SpanAssembler(traceID: .none, id: SpanID(0), parentID: .none, batch: batch)
        PlainSpan.read(&reader, &assembler, into: &batch)
        assembler.finish(&batch)
        return batch.spans.first.map { LinkNode($0, batch, &services) }
            ?? LinkNode(id: 0, parentID: 0, kind: 0, isShared: false, hasError: false, localService: 0, remoteService: 0)
    }
}

extension LinkNode {
    /// A decoded span.
    init(_ span: SpanRow, _ batch: SpanBatch, _ services: inout ServiceNumbers) {
        let local = span.localEndpoint == EndpointRow.absent ? EndpointRow() : batch.endpoints[Int(span.localEndpoint)]
        let remote = span.remoteEndpoint == EndpointRow.absent ? EndpointRow() : batch.endpoints[Int(span.remoteEndpoint)]
        self.init(
            id: span.id.rawValue, parentID: span.parentID.rawValue, kind: span.kind.rawValue, isShared: span.flags.contains(.shared),
            hasError: (0..<Int(span.tagCount)).contains { batch.string(batch.tags[Int(span.tagStart) + $0].key) == "error" },
            localService: Int(services.number(batch.string(local.serviceName))),
            remoteService: Int(services.number(batch.string(remote.serviceName))))
        self.local.port = local.port
        if local.hasIPv4 { (self.local.hasIPv4, self.local.ipv4) = (true, local.ipv4) }
        if local.hasIPv6 { (self.local.hasIPv6, self.local.ipv6High, self.local.ipv6Low) = (true, local.ipv6High, local.ipv6Low) }
    }
}

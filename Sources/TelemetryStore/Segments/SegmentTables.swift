internal import TelemetryModel

/// The numbers of a segment being built: its dictionary, shapes, lists of payloads and columns, and what each number of a head batch is
/// among them.
///
/// Batches are mapped before their traces are gathered: in order of memory, and into tables small enough to stay in the cache while they
/// are read out of order. Every table is bounded by `SegmentLimits`; what has no room is told as 0. Part of one `SegmentBuilder`.
struct SegmentTables: ~Copyable {
    private let autocompleteKeys: Set<String>
    private let limits: SegmentLimits

    private(set) var strings: StringTable
    private(set) var shapes: [SpanShape] = []
    private(set) var shapeInfos = RawBuffer<ShapeInfo>(capacity: 512)
    /// The payloads of all lists, one after another.
    private(set) var payloads = RawBuffer<PayloadInfo>(capacity: 4096)
    /// Signature n belongs to shape n + 1: kind and flags, name, local service, remote service, list of payloads.
    private var signatures = SignatureTable()
    /// Signature n belongs to list n: key << 4 | kind of each payload.
    private var listSignatures = SignatureTable()
    private var lists: [ListInfo] = []
    /// Key << 4 | kind of each column, in order of first sight.
    private(set) var columnKeys: [UInt32] = []
    private var columnNumbers: [UInt32: Int32] = [:]
    private var autocompleteColumns: [Bool] = []
    /// Hash of each string of the dictionary, for templates in the filter.
    private(set) var stringHashes = RawBuffer<UInt64>()

    /// Number + 1; 0 = the dictionary has no room for it.
    private(set) var stringMap = RawBuffer<UInt16>(capacity: 4096)
    /// 0 = a plain row.
    private(set) var shapeMap = RawBuffer<UInt16>(capacity: 1024)

    /// What the hot loop needs of a shape.
    struct ShapeInfo: BitwiseCopyable {
        var payloadStart = 0
        var payloadCount = 0
        var kind: UInt8 = 0
        var flags: UInt8 = 0
        var hasError = false
        var localService: UInt32 = 0
        var remoteService: UInt32 = 0
    }

    /// A list of payloads that shapes share.
    struct ListInfo {
        var payloads: [SpanShape.Payload]
        /// Place in `payloads`.
        var start: Int
        var hasError: Bool
    }

    struct PayloadInfo: BitwiseCopyable {
        var column: Int
        /// The column's.
        var keyHash: UInt64
        var kind: ValueKind
        var isTag: Bool
        var isAutocomplete: Bool
    }

    init(autocompleteKeys: Set<String>, limits: SegmentLimits) {
        self.autocompleteKeys = autocompleteKeys
        self.limits = limits
        strings = StringTable(countMax: limits.stringsMax, bytesMax: limits.stringBytesMax)
    }

    mutating func removeAll() {
        strings.removeAll()
        shapes = [SpanShape()]
        shapeInfos.removeAll()
        shapeInfos.append(ShapeInfo())
        payloads.removeAll()
        signatures.removeAll()
        listSignatures.removeAll()
        lists.removeAll(keepingCapacity: true)
        columnKeys.removeAll()
        columnNumbers.removeAll()
        autocompleteColumns.removeAll()
        stringHashes.removeAll()
        stringMap.removeAll()
        shapeMap.removeAll()
    }

    /// Appends a batch's numbers to the maps.
    mutating func map(_ batch: HeadBatch, _ columns: inout ColumnTable) {
        let stringStart = stringMap.count
        for number in 0..<batch.strings.count {
            let mapped = unsafe batch.strings.withText(number) { text in
                let mapped = unsafe strings.intern(text).map { $0 + 1 } ?? 0
                if mapped > stringHashes.count { stringHashes.append(unsafe Mixing.hash(text)) }
                return mapped
            }
            // `SegmentLimits.stringsMax` is far below.
            stringMap.append(UInt16(mapped))
        }
        let lists = batch.payloadLists.map { mapList($0, stringStart, &columns) }
        for shape in batch.shapes { shapeMap.append(UInt16(map(shape, lists[shape.list], stringStart))) }
    }

    /// The segment's number for a batch's shape; 0 (plain rows) when a table is full.
    private mutating func map(_ shape: SpanShape, _ list: Int?, _ stringStart: Int) -> Int {
        guard let list else { return 0 }
        let start = signatures.words.count
        var isComplete = true
        func word(_ number: UInt32) -> UInt32 {
            guard number > 0 else { return 0 }
            let mapped = stringMap[stringStart + Int(number) - 1]
            if mapped == 0 { isComplete = false }
            return UInt32(mapped)
        }
        signatures.words.append(UInt32(shape.kind) | UInt32(shape.flags) << 8)
        signatures.words.append(word(shape.name))
        signatures.words.append(word(shape.localService))
        signatures.words.append(word(shape.remoteService))
        signatures.words.append(UInt32(list))
        guard isComplete else { signatures.words.truncate(to: start); return 0 }
        if let known = signatures.find(from: start) { return known + 1 }
        guard shapes.count < limits.shapesMax else { signatures.words.truncate(to: start); return 0 }
        var mapped = shape
        mapped.name = signatures.words[start + 1]
        mapped.localService = signatures.words[start + 2]
        mapped.remoteService = signatures.words[start + 3]
        mapped.list = list
        mapped.payloads = lists[list].payloads
        _ = signatures.insert(from: start)
        let number = shapes.count
        shapes.append(mapped)
        shapeInfos.append(ShapeInfo(
            payloadStart: lists[list].start, payloadCount: mapped.payloads.count, kind: shape.kind, flags: shape.flags,
            hasError: lists[list].hasError, localService: mapped.localService, remoteService: mapped.remoteService))
        return number
    }

    /// The segment's number for a batch's list of payloads; nil when a table is full.
    private mutating func mapList(_ list: [SpanShape.Payload], _ stringStart: Int, _ columns: inout ColumnTable) -> Int? {
        guard list.count <= SegmentLimits.payloadsPerShapeMax else { return nil }
        let start = listSignatures.words.count
        var mapped = list
        for index in list.indices {
            if list[index].key >= PayloadKey.firstString {
                let number = stringMap[stringStart + Int(list[index].key - PayloadKey.firstString)]
                guard number > 0 else { listSignatures.words.truncate(to: start); return nil }
                mapped[index].key = UInt32(number) - 1 + PayloadKey.firstString
            }
            listSignatures.words.append(mapped[index].key << 4 | UInt32(mapped[index].kind.rawValue))
        }
        if let known = listSignatures.find(from: start) { return known }
        guard columnKeys.count + list.count <= limits.columnsMax else { listSignatures.words.truncate(to: start); return nil }
        var info = ListInfo(payloads: mapped, start: payloads.count, hasError: false)
        for payload in mapped {
            let column = Int(columnNumber(payload, &columns))
            let isTag = payload.key >= PayloadKey.firstString
            if isTag, strings.isEqual(Int(payload.key - PayloadKey.firstString), "error") { info.hasError = true }
            payloads.append(PayloadInfo(
                column: column, keyHash: columns[column].keyHash, kind: payload.kind, isTag: isTag,
                isAutocomplete: autocompleteColumns[column]))
        }
        lists.append(info)
        return listSignatures.insert(from: start)
    }

    private mutating func columnNumber(_ payload: SpanShape.Payload, _ columns: inout ColumnTable) -> Int32 {
        let code = payload.key << 4 | UInt32(payload.kind.rawValue)
        if let known = columnNumbers[code] { return known }
        let number = Int32(columnKeys.count)
        columnKeys.append(code)
        columnNumbers[code] = number
        var keyHash: UInt64 = UInt64(payload.key)
        var isAutocomplete = false
        if payload.key >= PayloadKey.firstString {
            unsafe strings.withText(Int(payload.key - PayloadKey.firstString)) { text in
                keyHash = unsafe Mixing.hash(text)
                isAutocomplete = autocompleteKeys.contains(unsafe String(decoding: text, as: UTF8.self))
            }
        }
        autocompleteColumns.append(isAutocomplete)
        columns.append(ColumnBuffer(kind: payload.kind, keyHash: keyHash))
        return number
    }
}

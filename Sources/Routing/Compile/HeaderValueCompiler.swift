internal import MeshConfig
internal import Primitives

/// Values of header operations: text, and Envoy's command operators ("Custom request/response headers") as pieces.
struct HeaderValueCompiler {
    let draft: SnapshotBuilder

    private static let operators: [String: HeaderValuePiece.Kind] = [
        "DOWNSTREAM_REMOTE_ADDRESS": .downstreamRemote, "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": .downstreamRemoteAddress,
        "DOWNSTREAM_REMOTE_PORT": .downstreamRemotePort, "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": .downstreamRemote,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": .downstreamRemoteAddress, "DOWNSTREAM_LOCAL_ADDRESS": .downstreamLocal,
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": .downstreamLocalAddress, "DOWNSTREAM_LOCAL_PORT": .downstreamLocalPort,
        "UPSTREAM_HOST": .upstreamHost, "UPSTREAM_REMOTE_ADDRESS": .upstreamHost, "PROTOCOL": .protocolName, "RESPONSE_CODE": .responseCode,
    ]

    /// Of all, for people.
    static let operatorNames = (operators.keys.sorted() + ["REQ(NAME?OTHER):LENGTH", "RESP(NAME?OTHER):LENGTH", "START_TIME(%s.%3f)"])
        .joined(separator: ", ")

    /// The pieces of a value, none when it is plain text; nil when an operator is none that is known here.
    func compileValue(_ value: String) -> (program: TableRange, plain: String)? {
        guard value.contains("%") else { return (TableRange(), value) }
        var pieces: [HeaderValuePiece] = []
        var text = ""
        var rest = Substring(value)
        while let mark = rest.firstIndex(of: "%") {
            text += rest[..<mark]
            rest = rest[rest.index(after: mark)...]
            if rest.first == "%" {
                text += "%"
                rest = rest.dropFirst()
                continue
            }
            guard let end = Self.endOfOperator(rest) else { return nil }
            flush(&text, &pieces)
            guard let operation = compileOperator(String(rest[..<end])) else { return nil }
            pieces += operation
            rest = rest[rest.index(after: end)...]
        }
        text += rest
        if pieces.isEmpty { return (TableRange(), text) }
        flush(&text, &pieces)
        return (draft.headerPieces.add(contentsOf: pieces), "")
    }

    private func flush(_ text: inout String, _ pieces: inout [HeaderValuePiece]) {
        if text.isEmpty { return }
        var piece = HeaderValuePiece()
        piece.literal = draft.text.add(text: text)
        pieces.append(piece)
        text = ""
    }

    /// Where an operator's closing percent sign stands. An argument in parentheses may hold percent signs of its own.
    private static func endOfOperator(_ text: Substring) -> Substring.Index? {
        var depth = 0
        for index in text.indices {
            if text[index] == "%", depth <= 0 { return index }
            if text[index] == "(" { depth += 1 }
            if text[index] == ")" { depth -= 1 }
        }
        return nil
    }

    /// Beginnings and names of the other operators of Envoy ("Command operators" of its access log): a rule that uses them is right, and
    /// means a little less here.
    private static let envoyPrefixes = ["DOWNSTREAM_", "UPSTREAM_", "RESPONSE_", "REQUEST_", "BYTES_", "CONNECTION_", "ROUNDTRIP_", "TLS_"]
    private static let envoyOperators: Set<String> = [
        "ENVIRONMENT", "HOSTNAME", "DYNAMIC_METADATA", "CLUSTER_METADATA", "METADATA", "FILTER_STATE", "PER_REQUEST_STATE", "TRAILER",
        "REQ_WITHOUT_QUERY", "REQUESTED_SERVER_NAME", "ROUTE_NAME", "VIRTUAL_CLUSTER_NAME", "DURATION", "COMMON_DURATION", "GRPC_STATUS",
        "GRPC_STATUS_NUMBER", "PROTOCOL", "PATH", "QUERY_PARAM", "START_TIME", "START_TIME_LOCAL", "EMIT_TIME", "STREAM_ID", "TRACE_ID",
        "SPAN_ID", "UNIQUE_ID", "ACCESS_LOG_TYPE", "FILTER_CHAIN_NAME", "CUSTOM_FLAGS", "CONNECTION_ID",
    ]

    /// Whether every operator of a value that cannot be compiled is one of Envoy's.
    static func hasEnvoysOperatorsOnly(_ value: String) -> Bool {
        var rest = Substring(value)
        while let mark = rest.firstIndex(of: "%") {
            rest = rest[rest.index(after: mark)...]
            if rest.first == "%" {
                rest = rest.dropFirst()
                continue
            }
            let name = rest.prefix { $0.isASCII && ($0.isUppercase || $0.isNumber || $0 == "_") }
            let isField = ["REQ", "RESP", "REQUEST_HEADER", "RESPONSE_HEADER"].contains(name)
            let isEnvoys = envoyOperators.contains(String(name)) || envoyPrefixes.contains { name.hasPrefix($0) && name.count > $0.count }
            guard isField || isEnvoys || operators[String(name)] != nil else { return false }
            var depth = 0
            guard
                let end = rest[name.endIndex...].firstIndex(where: { character in
                    if character == "(" { depth += 1 }
                    if character == ")" { depth -= 1 }
                    return character == "%" && depth == 0
                })
            else { return false }
            if isField, fieldArgument(rest[name.endIndex..<end]) == nil { return false }
            rest = rest[rest.index(after: end)...]
        }
        return true
    }

    /// `(NAME?OTHER):LENGTH`: one or two names in lower case, and a length of 0 where none is given.
    private static func fieldArgument(_ text: Substring) -> (names: [String], bytesMax: UInt32)? {
        guard text.hasPrefix("("), let close = text.lastIndex(of: ")") else { return nil }
        let names = text[text.index(after: text.startIndex)..<close].split(separator: "?", maxSplits: 1).map { $0.lowercased() }
        let tail = text[text.index(after: close)...]
        guard !names.isEmpty else { return nil }
        if tail.isEmpty { return (names, 0) }
        guard tail.hasPrefix(":"), let length = UInt32(tail.dropFirst()), length > 0 else { return nil }
        return (names, length)
    }

    private func compileOperator(_ text: String) -> [HeaderValuePiece]? {
        if let kind = Self.operators[text] {
            var piece = HeaderValuePiece()
            piece.kind = kind
            return [piece]
        }
        guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"), open < close else { return nil }
        let argument = text[text.index(after: open)..<close]
        let tail = text[text.index(after: close)...]
        switch text[..<open] {
        case "REQ", "RESP", "REQUEST_HEADER", "RESPONSE_HEADER":
            var piece = HeaderValuePiece()
            piece.kind = text.hasPrefix("REQ") ? .requestField : .responseField
            guard let field = Self.fieldArgument(text[open...]) else { return nil }
            piece.literal = draft.text.add(text: field.names[0])
            if field.names.count == 2 { piece.substitute = draft.text.add(text: field.names[1]) }
            piece.bytesMax = field.bytesMax
            return [piece]
        case "START_TIME":
            return tail.isEmpty ? startTime(argument) : nil
        default: return nil
        }
    }

    /// A pattern of `%s`, `%3f`, `%6f`, `%9f` and text.
    private func startTime(_ pattern: Substring) -> [HeaderValuePiece]? {
        let kinds: [(String, HeaderValuePiece.Kind)] = [
            ("%s", .startSeconds), ("%3f", .startMilliseconds), ("%6f", .startMicroseconds), ("%9f", .startNanoseconds),
        ]
        var pieces: [HeaderValuePiece] = []
        var rest = pattern
        while let first = rest.first {
            var piece = HeaderValuePiece()
            if let (name, kind) = kinds.first(where: { rest.hasPrefix($0.0) }) {
                piece.kind = kind
                rest = rest.dropFirst(name.count)
            } else {
                guard first != "%" else { return nil }
                piece.literal = draft.text.add(text: String(first))
                rest = rest.dropFirst()
            }
            pieces.append(piece)
        }
        return pieces.isEmpty ? nil : pieces
    }
}

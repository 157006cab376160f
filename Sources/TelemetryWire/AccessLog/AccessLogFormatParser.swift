internal import Primitives
import TelemetryModel

/// Reads `%NAME%`, `%NAME(argument)%` and `%NAME(argument):length%` between literal text; `%%` is a percent sign.
struct AccessLogFormatParser {
    private let bytes: [UInt8]
    private let hostname: String
    /// Operators that print as missing whatever happens, each once.
    private(set) var notInEffect: [String] = []
    private var at = 0

    init(_ format: String, hostname: String) {
        bytes = Array(format.utf8)
        self.hostname = hostname
    }

    mutating func pieces(_ environment: (String) -> String?) throws(AccessLogFormatError) -> [AccessLogFormat.Piece] {
        var pieces: [AccessLogFormat.Piece] = []
        var literal: [UInt8] = []
        while at < bytes.count {
            if bytes[at] != UInt8(ascii: "%") {
                literal.append(bytes[at])
                at += 1
            } else if at + 1 < bytes.count, bytes[at + 1] == UInt8(ascii: "%") {
                literal.append(bytes[at])
                at += 2
            } else {
                if !literal.isEmpty { pieces.append(.fixed(.literal(literal))) }
                literal = []
                pieces.append(try command(environment))
            }
        }
        if !literal.isEmpty { pieces.append(.fixed(.literal(literal))) }
        return pieces
    }

    private mutating func command(_ environment: (String) -> String?) throws(AccessLogFormatError) -> AccessLogFormat.Piece {
        let start = at
        func fail(_ message: String) -> AccessLogFormatError { AccessLogFormatError(column: start + 1, message: message) }
        at += 1
        let name = take { ($0 | 0x20) &- 0x61 < 26 || $0 == UInt8(ascii: "_") || JSONScanner.isDigit($0) }
        var argument: String?
        if at < bytes.count, bytes[at] == UInt8(ascii: "(") {
            at += 1
            let argumentStart = at
            // The argument of START_TIME has percent signs of its own: it ends at a parenthesis that a `%` or `:` follows.
            while at < bytes.count,
                !(bytes[at] == UInt8(ascii: ")") && (byte(at + 1) == UInt8(ascii: "%") || byte(at + 1) == UInt8(ascii: ":")))
            {
                at += 1
            }
            guard at < bytes.count else { throw fail("the argument of \(name) has no closing `)%`") }
            argument = String(decoding: bytes[argumentStart..<at], as: UTF8.self)
            at += 1
        }
        var maxBytes = Int.max
        if at < bytes.count, bytes[at] == UInt8(ascii: ":") {
            at += 1
            let digits = take { JSONScanner.isDigit($0) }
            guard let length = Int(digits), length > 0 else { throw fail("the length after `:` is a number of bytes above 0") }
            maxBytes = length
        }
        guard byte(at) == UInt8(ascii: "%") else {
            throw fail("an operator is written %NAME%, %NAME(argument)% or %NAME(argument):length%; a percent sign is %%")
        }
        at += 1
        return try piece(name, argument, maxBytes, start, environment)
    }

    /// Where Envoy's filter of tokens keeps what they claim.
    private static let tokenNamespace = "envoy.filters.http.jwt_authn:"

    private func byte(_ index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }

    private mutating func take(while matches: (UInt8) -> Bool) -> String {
        let start = at
        while at < bytes.count, matches(bytes[at]) { at += 1 }
        return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    private mutating func piece(
        _ name: String, _ argument: String?, _ maxBytes: Int, _ start: Int, _ environment: (String) -> String?
    ) throws(AccessLogFormatError) -> AccessLogFormat.Piece {
        func fail(_ message: String) -> AccessLogFormatError { AccessLogFormatError(column: start + 1, message: message) }
        if maxBytes != .max, AccessLogOperator.withArgumentOnly.contains(name) { throw fail("\(name) takes no length") }
        switch name {
        case "REQ", "RESP", "TRAILER", "REQ_WITHOUT_QUERY", "REQUEST_HEADER", "RESPONSE_HEADER", "RESPONSE_TRAILER":
            guard let argument, !argument.isEmpty else { throw fail("\(name) needs a header name, as in %\(name)(USER-AGENT)%") }
            let names = argument.lowercased().split(separator: "?", omittingEmptySubsequences: false).map(String.init)
            guard names.count <= 2, names.allSatisfy({ !$0.isEmpty }) else {
                throw fail("\(name) takes one header name, or two as in (FIRST?SECOND)")
            }
            let second = names.count > 1 ? names[1] : nil
            switch name {
            case "REQ", "REQUEST_HEADER": return .requestHeader(first: names[0], second: second, maxBytes: maxBytes)
            case "RESP", "RESPONSE_HEADER": return .responseHeader(first: names[0], second: second, maxBytes: maxBytes)
            case "REQ_WITHOUT_QUERY": return .fixed(.pathWithoutQuery(first: .originalPath, second: .path, maxBytes: maxBytes))
            default: return absent(name)
            }
        case "PATH": return .fixed(try path(argument ?? "", maxBytes, fail))
        case "QUERY_PARAM":
            guard let argument, !argument.isEmpty else { throw fail("QUERY_PARAM needs a parameter's name, as in %QUERY_PARAM(page)%") }
            return .fixed(.queryParameter(name: Array(argument.utf8), maxBytes: maxBytes))
        case "QUERY_PARAMS":
            switch argument ?? "" {
            case "", "ORIG": return .fixed(.query(maxBytes: maxBytes))
            case "DECODED": return absent("QUERY_PARAMS(DECODED)")
            default: throw fail("QUERY_PARAMS takes ORIG or DECODED")
            }
        case "START_TIME", "EMIT_TIME", "START_TIME_LOCAL", "EMIT_TIME_LOCAL":
            let pattern = Array((argument ?? "").utf8)
            guard AccessLogTime.isValid(pattern) else {
                throw fail("unknown specifier in the time format of \(name); known are \(AccessLogTime.specifiers)")
            }
            switch name {
            case "START_TIME": return .fixed(.startTime(pattern: pattern))
            case "EMIT_TIME": return .fixed(.emitTime(pattern: pattern))
            case "START_TIME_LOCAL": return .fixed(.startTimeLocal(pattern: pattern))
            default: return .fixed(.emitTimeLocal(pattern: pattern))
            }
        case "GRPC_STATUS":
            guard let form = AccessLogOperator.GRPCStatusForm(rawValue: argument ?? "CAMEL_STRING") else {
                throw fail("GRPC_STATUS takes CAMEL_STRING, SNAKE_STRING or NUMBER")
            }
            return .fixed(.grpcStatus(form))
        case "COMMON_DURATION": return .fixed(try commonDuration(argument ?? "", fail))
        case "HOSTNAME": return .fixed(hostname.isEmpty ? .absent : .literal(Array(hostname.utf8)))
        case "ENVIRONMENT":
            guard let argument, !argument.isEmpty else { throw fail("ENVIRONMENT needs a variable's name, as in %ENVIRONMENT(POD_NAME)%") }
            return .fixed(environment(argument).map { .literal(Array($0.utf8.prefix(maxBytes))) } ?? .absent)
        case "DYNAMIC_METADATA" where argument.flatMap(AuthorizationShadow.Part.init(rawValue:)) != nil:
            return .fixed(argument.flatMap(AuthorizationShadow.Part.init(rawValue:)).map { .shadow($0) } ?? .absent)
        case "DYNAMIC_METADATA" where argument?.hasPrefix(Self.tokenNamespace) == true:
            // The key under which a rule keeps its payload, then the names that lead to a claim.
            let names = (argument ?? "").split(separator: ":", omittingEmptySubsequences: false).dropFirst(2)
            guard !names.isEmpty, names.allSatisfy({ !$0.isEmpty }) else {
                throw fail("of a token one claim can be logged, as in %DYNAMIC_METADATA(\(Self.tokenNamespace)payload:sub)%")
            }
            return .requestHeader(first: "@" + names.joined(separator: "\0"), second: nil, maxBytes: maxBytes)
        default:
            if AccessLogOperator.missingInEnvoyToo.contains(name) { return .fixed(.absent) }
            if let part = ConnectionOperators.texts[name] {
                guard argument == nil, maxBytes == .max else { throw fail("\(name) takes no argument and no length") }
                return .fixed(.connection(part.text, part.end))
            }
            if let part = ConnectionOperators.times[name] {
                let pattern = Array((argument ?? "").utf8)
                guard AccessLogTime.isValid(pattern) else {
                    throw fail("unknown specifier in the time format of \(name); known are \(AccessLogTime.specifiers)")
                }
                return .fixed(.connectionTime(part.text, part.end, pattern: pattern))
            }
            if let known = AccessLogOperator.plain[name] {
                guard argument?.isEmpty ?? true || AccessLogOperator.takesArgument(name) else { throw fail("\(name) takes no argument") }
                guard maxBytes == .max else { throw fail("\(name) takes no length") }
                return .fixed(known)
            }
            if AccessLogOperator.notInEffect.contains(name) { return absent(name) }
            let nearest = EditDistance.nearest(to: name, among: AccessLogOperator.names)
            throw fail("unknown operator \(name.isEmpty ? "%" : name)\(nearest.map { "; the nearest known one is \($0)" } ?? "")")
        }
    }

    private mutating func absent(_ name: String) -> AccessLogFormat.Piece {
        if !notInEffect.contains(name) { notInEffect.append(name) }
        return .fixed(.absent)
    }

    /// PATH's arguments are the form, WQ or NQ, and the choice of the path, each with a default. What follows them Envoy 1.40 does not
    /// look at.
    private func path(
        _ argument: String, _ maxBytes: Int, _ fail: (String) -> AccessLogFormatError
    ) throws(AccessLogFormatError) -> AccessLogOperator {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let form = parts.first ?? ""
        let paths: (first: RequestText, second: RequestText?)? =
            switch parts.count > 1 ? parts[1] : "" {
            case "", "ORIG_OR_PATH": (.originalPath, .path)
            case "ORIG": (.originalPath, nil)
            case "PATH": (.path, nil)
            default: nil
            }
        guard let paths, ["", "WQ", "NQ"].contains(form) else {
            throw fail("PATH takes WQ or NQ (with or without its query), then ORIG, PATH or ORIG_OR_PATH, as in %PATH(NQ:ORIG)%")
        }
        if form == "NQ" { return .pathWithoutQuery(first: paths.first, second: paths.second ?? paths.first, maxBytes: maxBytes) }
        return .text(first: paths.first, second: paths.second, maxBytes: maxBytes)
    }

    private func commonDuration(
        _ argument: String, _ fail: (String) -> AccessLogFormatError
    ) throws(AccessLogFormatError) -> AccessLogOperator {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let points = AccessLogOperator.TimePoint.allCases.map(\.rawValue).joined(separator: " ")
        guard parts.count == 3, let from = AccessLogOperator.TimePoint(rawValue: parts[0]),
            let to = AccessLogOperator.TimePoint(rawValue: parts[1]),
            let divisor: UInt64 = ["ms": 1_000_000, "us": 1000, "ns": 1][parts[2]]
        else { throw fail("COMMON_DURATION takes (START:END:ms|us|ns) with points \(points)") }
        return .duration(from: from, to: to, divisor: divisor)
    }
}

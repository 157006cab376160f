import Glibc
@testable import HTTP
import Primitives

/// What a parse came to, as a value that two parses can be compared by.
struct Reading: Equatable, CustomStringConvertible {
    var result: HeadResult
    var method = ""
    var target = ""
    var status = 0
    var reason = ""
    var minor = 0
    var fields: [[String]] = []
    var byteCount = 0
    var length: UInt64?
    var isChunked = false
    var connection: UInt8 = 0

    var description: String { "\(result) \(method) \(target) \(status) \(minor) \(fields) \(byteCount) \(length ?? 0) \(isChunked) \(connection)" }
}

enum Kind { case request, response, trailers }

func latin(_ bytes: LentBytes) -> String { String(String.UnicodeScalarView(bytes.copied.map { UnicodeScalar($0) })) }

/// Feeds `bytes` in pieces that end at the given offsets, then whole; stops at the first verdict.
func read(_ bytes: [UInt8], kind: Kind = .request, cuts: [Int] = [], limits: HTTPLimits = HTTPLimits()) -> Reading {
    var head = MessageHead()
    var scan = HeadScan()
    var result = HeadResult.incomplete
    var reading = Reading(result: .incomplete)
    for end in cuts + [bytes.count] {
        // Every piece in a fresh allocation of exactly its size, so that reading past it is a fault the sanitizer and the heap see.
        let piece = Array(bytes[..<end])
        unsafe piece.withUnsafeBytes { buffer in
            switch kind {
            case .request: result = unsafe HeadParser.parseRequest(buffer, scan: &scan, limits: limits, into: &head)
            case .response: result = unsafe HeadParser.parseResponse(buffer, scan: &scan, limits: limits, into: &head)
            case .trailers: result = unsafe HeadParser.parseTrailers(buffer, scan: &scan, limits: limits, into: &head)
            }
            reading = Reading(result: result)
            guard result == .complete else { return }
            if kind == .request {
                reading.method = latin(head.methodBytes)
                reading.target = latin(head.targetBytes)
            }
            if kind == .response {
                reading.status = Int(head.statusCode)
                reading.reason = unsafe latin(LentBytes(head.reason))
            }
            if kind != .trailers { reading.minor = Int(head.minorVersion) }
            for index in 0..<head.fieldCount { reading.fields.append([latin(head.nameBytes(at: index)), latin(head.bytes(at: index))]) }
            reading.byteCount = head.byteCount
            reading.length = head.contentLength
            reading.isChunked = head.isChunked
            reading.connection = head.connection.rawValue
        }
        if result != .incomplete { break }
    }
    return reading
}

func read(_ text: String, kind: Kind = .request, limits: HTTPLimits = HTTPLimits()) -> Reading {
    read(Array(text.utf8), kind: kind, limits: limits)
}

/// A request head read the obvious way: split at CR LF, then at spaces and colons. Nil = refused.
func obviousReading(_ bytes: [UInt8]) -> Reading? {
    var text = bytes
    var skipped = 0
    while skipped < 2, text.starts(with: [13, 10]) {
        text.removeFirst(2)
        skipped += 1
    }
    var lines: [[UInt8]] = []
    var line: [UInt8] = []
    var used = skipped * 2
    var isWhole = false
    for (index, byte) in text.enumerated() {
        used += 1
        if byte == 10 {
            guard line.last == 13 else { return nil }
            line.removeLast()
            if line.isEmpty {
                isWhole = true
                break
            }
            lines.append(line)
            line = []
        } else {
            line.append(byte)
        }
        _ = index
    }
    guard isWhole, let first = lines.first, !lines.contains(where: { $0.contains(13) }) else { return nil }
    let parts = first.split(separator: 32, omittingEmptySubsequences: false).map(Array.init)
    guard parts.count == 3 else { return nil }
    let tokens = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
    guard !parts[0].isEmpty, parts[0].allSatisfy(tokens.contains), !parts[1].isEmpty, parts[1].allSatisfy({ $0 > 32 && $0 != 127 }) else { return nil }
    guard parts[2] == Array("HTTP/1.1".utf8) || parts[2] == Array("HTTP/1.0".utf8) else { return nil }
    var reading = Reading(result: .complete)
    func string(_ bytes: some Sequence<UInt8>) -> String { String(String.UnicodeScalarView(bytes.map { UnicodeScalar($0) })) }
    reading.method = string(parts[0])
    reading.target = string(parts[1])
    reading.minor = parts[2].last == 49 ? 1 : 0
    reading.byteCount = used
    for line in lines.dropFirst() {
        guard let colon = line.firstIndex(of: 58) else { return nil }
        let name = line[..<colon]
        guard !name.isEmpty, name.allSatisfy(tokens.contains) else { return nil }
        var value = line[(colon + 1)...]
        guard value.allSatisfy({ $0 == 9 || $0 >= 32 && $0 != 127 }) else { return nil }
        while let byte = value.first, byte == 32 || byte == 9 { value.removeFirst() }
        while let byte = value.last, byte == 32 || byte == 9 { value.removeLast() }
        reading.fields.append([string(name), string(value)])
    }
    guard reading.fields.count <= 100 else { return nil }
    func values(_ name: String) -> [String] { reading.fields.filter { $0[0].lowercased() == name }.map { $0[1] } }
    let hosts = values("host")
    guard hosts.count <= 1, hosts.count == 1 || reading.minor == 0 else { return nil }
    guard hosts.allSatisfy({ $0.isEmpty || isObviousAuthority($0) }) else { return nil }
    let lengths = values("content-length")
    let codings = values("transfer-encoding")
    guard lengths.count + codings.count <= 1 else { return nil }
    if let text = lengths.first {
        guard !text.isEmpty, text.utf8.count <= 20, text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), let length = Int64(text) else { return nil }
        reading.length = UInt64(length)
    }
    if let text = codings.first {
        guard text.lowercased() == "chunked", reading.minor == 1 else { return nil }
        reading.isChunked = true
    }
    for item in values("connection").joined(separator: ",").split(separator: ",") {
        var item = item.drop { $0 == " " || $0 == "\t" }
        while item.last == " " || item.last == "\t" { item.removeLast() }
        switch item.lowercased() {
        case "": break
        case "close": reading.connection |= 1
        case "keep-alive": reading.connection |= 2
        case "upgrade": reading.connection |= 4
        default: reading.connection |= 8
        }
    }
    return reading
}

/// A host and perhaps a port, by splitting; addresses in brackets are the C library's to judge.
func isObviousAuthority(_ text: String) -> Bool {
    var host = text
    var port = ""
    if text.hasPrefix("[") {
        guard let close = text.firstIndex(of: "]") else { return false }
        host = String(text[...close])
        port = String(text[text.index(after: close)...])
        var address = in6_addr()
        guard unsafe host.dropFirst().dropLast().withCString({ unsafe inet_pton(AF_INET6, $0, &address) }) == 1 else { return false }
    } else {
        host = String(text.prefix { $0 != ":" })
        port = String(text.dropFirst(host.count))
        let allowed = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~%!$&'()*+;=")
        guard !host.isEmpty, host.utf8.count <= 255, host.allSatisfy(allowed.contains) else { return false }
        let escapes = host.split(separator: "%", omittingEmptySubsequences: false).dropFirst()
        guard escapes.allSatisfy({ $0.prefix(2).count == 2 && $0.prefix(2).allSatisfy(\.isHexDigit) }) else { return false }
    }
    guard !port.isEmpty else { return true }
    guard port.hasPrefix(":"), port.utf8.count <= 6, port.dropFirst().allSatisfy({ "0123456789".contains($0) }) else { return false }
    return port == ":" || (1...65535).contains(Int(port.dropFirst()) ?? 0)
}

/// Files under Tests/Fixtures/Corpus.
enum Corpus {
    static func folder(_ name: String) -> String {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/Fixtures/Corpus/" + name
    }

    /// The nasty heads: file name `verdict.what`, content.
    static let heads = files(folder("HTTPHead"))

    static func files(_ folder: String) -> [(name: String, bytes: [UInt8])] {
        guard let directory = unsafe opendir(folder) else { return [] }
        defer { unsafe closedir(directory) }
        var found: [(name: String, bytes: [UInt8])] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name.hasPrefix(".") { continue }
            guard let file = unsafe fopen(folder + "/" + name, "r") else { continue }
            defer { unsafe fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 1 << 17)
            let count = unsafe fread(&bytes, 1, bytes.count, file)
            bytes.removeLast(bytes.count - count)
            found.append((name, bytes))
        }
        return found.sorted { $0.name < $1.name }
    }
}

import EventLoops
import Glibc
import Primitives
import Synchronization

/// An HTTP server that does what a test tells it: answers, hangs, or hangs up. One thread; connections one after another, except those
/// that hang, which stay open beside the next.
final class TinyServer: Sendable {
    enum Behaviour: Sendable {
        case answer(String)
        /// Close without an answer.
        case hangUp
        /// Keep the connection and never answer.
        case hang
    }

    let endpoint: SocketEndpoint
    private let listener: Int32
    private let received = Mutex<[String]>([])
    private let receivedHeads = Mutex<[String]>([])
    private let connectionTotal = Atomic<Int>(0)
    private let isStopping = Atomic<Bool>(false)
    private let thread = Mutex<WorkerThread?>(nil)
    private let behaviour: @Sendable (Int, String) -> Behaviour

    /// Bodies of requests that came whole, in order.
    var bodies: [String] { received.withLock { $0 } }
    /// Their heads.
    var heads: [String] { receivedHeads.withLock { $0 } }
    var connections: Int { connectionTotal.load(ordering: .relaxed) }

    /// `behaviour` gets the number of the request, from 0, and its body.
    init(
        on endpoint: SocketEndpoint = SocketEndpoint(ipv4: 0x7F00_0001, port: 0),
        _ behaviour: @escaping @Sendable (Int, String) -> Behaviour
    ) throws {
        listener = try Socket.listen(on: endpoint, reusePort: false)
        self.endpoint = Socket.localEndpoint(listener)
        self.behaviour = behaviour
        let started = try WorkerThread(name: "tiny-server") { [self] in run() }
        thread.withLock { $0 = started }
    }

    func stop() {
        isStopping.store(true, ordering: .relaxed)
        let running = thread.withLock { thread -> WorkerThread? in
            let running = thread
            thread = nil
            return running
        }
        running?.join()
    }

    private func run() {
        var hanging: [Int32] = []
        while !isStopping.load(ordering: .relaxed) {
            guard wait(listener), case .connection(let fd, _) = Socket.accept(listener) else { continue }
            connectionTotal.wrappingAdd(1, ordering: .relaxed)
            if serve(fd) { hanging.append(fd) } else { Socket.close(fd) }
        }
        for fd in hanging { Socket.close(fd) }
        Socket.close(listener)
    }

    private func wait(_ fd: Int32) -> Bool {
        var waiting = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&waiting, 1, 5) > 0
    }

    /// Whether the connection is to be kept hanging.
    private func serve(_ fd: Int32) -> Bool {
        var input: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while !isStopping.load(ordering: .relaxed) {
            if let body = request(&input) {
                let number = received.withLock { list in
                    list.append(body)
                    return list.count - 1
                }
                switch behaviour(number, body) {
                case .answer(let text):
                    let bytes = Array(text.utf8)
                    _ = unsafe bytes.withUnsafeBytes { unsafe Socket.write(fd, $0) }
                    if text.contains("Connection: close") { return false }
                case .hangUp: return false
                case .hang: return true
                }
                continue
            }
            guard wait(fd) else { continue }
            switch unsafe piece.withUnsafeMutableBytes({ unsafe Socket.read(fd, into: $0) }) {
            case .bytes(let count): input += piece[..<count]
            case .wouldBlock: continue
            case .endOfStream, .failed: return false
            }
        }
        return false
    }

    /// Takes a whole request off the front of `input` and returns its body.
    private func request(_ input: inout [UInt8]) -> String? {
        let text = String(decoding: input, as: UTF8.self)
        guard let headEnd = text.range(of: "\r\n\r\n") else { return nil }
        let head = text[..<headEnd.lowerBound].lowercased()
        let length =
            head.split(separator: "\r\n").first { $0.hasPrefix("content-length:") }.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
        let total = text[..<headEnd.upperBound].utf8.count + length
        guard input.count >= total else { return nil }
        let body = String(decoding: input[(total - length)..<total], as: UTF8.self)
        receivedHeads.withLock { $0.append(String(text[..<headEnd.lowerBound])) }
        input.removeFirst(total)
        return body
    }
}

extension String {
    /// The first place of `needle`, without Foundation.
    fileprivate func range(of needle: String) -> Range<String.Index>? {
        var start = utf8.startIndex
        while start < utf8.endIndex {
            if utf8[start...].starts(with: needle.utf8) { return start..<utf8.index(start, offsetBy: needle.utf8.count) }
            start = utf8.index(after: start)
        }
        return nil
    }
}

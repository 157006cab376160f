internal import EventLoops
internal import Glibc
internal import Logging
internal import Primitives

/// How a process takes the place of one that runs with the same options, without a connection refused in between.
///
/// The successor knocks at a private Unix socket whose name is made of user, address and ports, gets the listening sockets, begins to
/// serve on them and says so; then the predecessor stops accepting, finishes what it has, and gives the store free, which the successor
/// waits for. Whatever fails before the successor says that it serves leaves the predecessor as it was.
enum Takeover {
    /// First line of a greeting; both must speak the same.
    static let version = "skein-takeover-1"
    /// Answers that a predecessor waits for, of `TakeoverChannel.patienceSeconds` each, until the successor serves.
    static let patienceRounds = 3

    /// Nil for a process that listens on no port of its own.
    static func name(_ options: RuntimeOptions) -> String? {
        let ports = [
            options.outboundPort, options.inboundPort, options.adminPort, options.readinessPort, options.metricsPort, options.zipkinPort,
            options.otlpPort, options.otlpGRPCPort,
        ]
        guard ports.contains(where: { $0 != 0 }) else { return nil }
        return "skein-\(getuid())-\(options.bindAddress)-" + ports.map(String.init).joined(separator: "-")
    }

    /// What must be the same: the directory of the store, by what it is and not by how it is written.
    static func dataIdentity(_ options: RuntimeOptions) -> String {
        guard options.hasStore else { return "none" }
        var status = stat()
        guard unsafe stat(options.dataDirectory, &status) == 0 else { return "new" }
        return "\(status.st_dev):\(status.st_ino)"
    }
}

/// A process that has knocked and got the listening sockets of the one before it.
struct TakeoverSuccessor: ~Copyable {
    private let channel: TakeoverChannel

    /// Nil when nobody runs with these options. Throws when somebody does and cannot be taken over from.
    static func knock(_ options: RuntimeOptions, workers: Int) throws -> TakeoverSuccessor? {
        guard let name = Takeover.name(options), let channel = TakeoverChannel.connect(to: name) else { return nil }
        let holder = "the ports are held by process \(channel.processID) (\(PortHolder.command(channel.processID)))"
        guard channel.send("\(Takeover.version) \(workers) \(Takeover.dataIdentity(options))"), let answer = channel.receive() else {
            throw StartError(
                status: SkeinProcess.systemError,
                lines: ["\(holder), which does not answer; stop it, or choose other ports (skein run --help)"])
        }
        guard answer == "yes" else {
            throw StartError(
                status: SkeinProcess.systemError,
                lines: ["\(holder), which is not taken over from: \(answer)"])
        }
        guard channel.receiveListeners() != nil else {
            throw StartError(status: SkeinProcess.systemError, lines: ["\(holder), which ended while it was taken over from; start again"])
        }
        return TakeoverSuccessor(channel: channel)
    }

    private init(channel: consuming TakeoverChannel) { self.channel = channel }

    var predecessor: Int32 { channel.processID }

    /// Says that requests are served here; returns when the predecessor has stopped accepting.
    consuming func serving() {
        guard channel.send("serving") else { return }
        _ = channel.receive()
    }
}

/// Where successors knock.
final class TakeoverDoor {
    private let door: FileDescriptor

    /// Nil when there is nothing to take over, or somebody has the name.
    init?(_ options: RuntimeOptions) {
        guard let name = Takeover.name(options), let door = TakeoverChannel.door(name) else { return nil }
        self.door = door
    }

    var descriptor: Int32 { door.rawValue }

    /// Answers whoever knocks. The successor's channel once it serves; nil when nobody came, or nothing came of it.
    func answer(_ options: RuntimeOptions, _ log: Logger) -> TakeoverChannel? {
        guard let channel = TakeoverChannel.accept(door) else { return nil }
        let words = channel.receive()?.split(separator: " ").map(String.init) ?? []
        if let objection = objection(words, options) {
            log.warning("process \(channel.processID) wanted to take over and was refused: \(objection)")
            _ = channel.send(objection)
            return nil
        }
        log.notice("process \(channel.processID) takes over: it gets the listening sockets")
        guard channel.send("yes"), channel.sendListeners() else { return nil }
        for _ in 0..<Takeover.patienceRounds where channel.receive() == "serving" { return channel }
        log.error("process \(channel.processID) did not begin to serve; this one goes on")
        return nil
    }

    private func objection(_ words: [String], _ options: RuntimeOptions) -> String? {
        guard words.count == 3, words[0] == Takeover.version else { return "it is of a version that hands over otherwise; stop it first" }
        if words[2] != Takeover.dataIdentity(options) {
            return
                "it uses \(options.hasStore ? "the data directory \(options.dataDirectory)" : "no store"); name the same, or stop it first"
        }
        let sockets = ListenerTable.socketsPerAddress
        if let workers = Int(words[1]), workers < sockets {
            return
                "it accepts with \(sockets) workers, and connections would be lost with \(workers); start with --workers \(sockets) or "
                    + "more, or stop it first"
        }
        return nil
    }
}

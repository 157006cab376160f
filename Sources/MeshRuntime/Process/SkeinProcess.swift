internal import EventLoops
internal import Logging
internal import MeshConfig
internal import Primitives

/// `skein run`: the control thread. Waits for signals and changed files, has configurations compiled, and ends everything in order.
public enum SkeinProcess {
    /// Exit statuses, after sysexits.h.
    static let badInput: Int32 = 65
    static let systemError: Int32 = 70
    /// Between two looks at files and names.
    private static let tickMilliseconds: Int32 = 500
    /// Between two looks at the store while the process that was taken over from still has it: who sends to the collector waits for it.
    private static let storeTickMilliseconds: Int32 = 20
    /// Ticks between two looks for idle series.
    private static let housekeepingTicks = 120

    /// Runs until a signal ends it; returns the exit status.
    public static func run(_ options: RuntimeOptions, version: String) -> Int32 {
        let level = LogLevelSwitch()
        let log = Logger(label: "skein") { _ in PlainLogHandler(level) }
        do {
            for notice in options.notices { log.notice("\(notice)") }
            // Before signals are taken: waiting for an authority ends with any of them.
            if let authority = options.authority { try FirstCertificate.ensure(options, authority, log) }
            let signals = try SignalInbox()
            ProcessResources.raiseDescriptorLimit()
            // Before the files are read: what changes meanwhile is seen at the first look.
            let watcher = FileWatcher(options.configuration)
            let node = try MeshNode(options: options, version: version, log: log, level: level)
            log.info("ready: \(node.summary)")
            ProcessResources.releaseStartupMemory()
            let isHandedOver = loop(signals, node, watcher, options, log)
            log.info("draining: requests in flight have \(options.drainSeconds) s")
            finish(signals, node, isHandedOver: isHandedOver)
            log.info(isHandedOver ? "handed over" : "stopped")
            return 0
        } catch let error as StartError {
            for line in error.lines { log.error("\(line)") }
            return error.status
        } catch {
            log.error("\(error)")
            return systemError
        }
    }

    /// Until a signal ends it (false), or another process has taken over (true).
    private static func loop(
        _ signals: borrowing SignalInbox, _ node: MeshNode, _ start: FileWatcher, _ options: RuntimeOptions, _ log: Logger
    ) -> Bool {
        var watcher = start
        var ticks = 0
        var nextTick = SystemClock.monotonicNow()
        // A predecessor has the name until it has gone.
        var door = TakeoverDoor(options)
        while true {
            let patience = node.openCollector != nil ? storeTickMilliseconds : tickMilliseconds
            let signal = signals.wait(milliseconds: patience, orReadable: door?.descriptor ?? -1)
            let now = SystemClock.monotonicNow()
            let isTick = now >= nextTick
            switch signal {
            case .terminate: return false
            case .reload:
                node.reopenLogs()
                // The next look starts from here: before the files are read, so that what changes meanwhile is not missed.
                watcher.take()
                node.reload(reason: "SIGHUP", isMeant: true)
                node.reloadScrapes()
            case .reopen:
                node.reopenLogs()
                log.info("SIGUSR1: log files are opened anew")
            case .unused: log.notice("SIGUSR2 has no effect; SIGUSR1 reopens log files, SIGHUP reloads as well")
            case nil:
                if isTick, watcher.hasSettledChange() { node.reload(reason: "files changed", isMeant: false) }
            }
            if let successor = door?.answer(options, log) {
                node.handOver()
                _ = successor.send("not accepting any more")
                return true
            }
            if door == nil { door = TakeoverDoor(options) }
            node.adoptResolvedNames()
            node.watchStore()
            node.watchCertificates()
            node.judgeUpstreams()
            node.recordSeries()
            guard isTick else { continue }
            nextTick = now + UInt64(tickMilliseconds) * 1_000_000
            ticks += 1
            if ticks % housekeepingTicks == 0 { node.expireIdleSeries() }
        }
    }

    /// Drains; a second signal ends it at once.
    private static func finish(_ signals: borrowing SignalInbox, _ node: MeshNode, isHandedOver: Bool) {
        if !isHandedOver { node.beginDraining() }
        while !node.hasDrained {
            if signals.wait(milliseconds: 20) == .terminate {
                node.endProxyNow()
                break
            }
        }
        if isHandedOver { node.finishCollector() }
        node.stop()
    }
}

/// Why a process could not start: lines for people and the exit status.
struct StartError: Error {
    var status: Int32
    var lines: [String]
}

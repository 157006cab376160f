public import OutlierDetection
public import Primitives
internal import Synchronization

/// The mesh-wide judge of this collector, for all threads that bring reports, tick it or ask it. Behind a lock: a report costs what is in
/// it, a tick the endpoints of the clusters that are due.
public final class OutlierService: Sendable {
    private let judge: Mutex<MeshJudge>
    private let say: @Sendable (String) -> Void

    /// `say` gets a sentence for each ejection and its end. `epoch`: another one each time the process starts.
    public init(seed: UInt64, epoch: UInt64, detectors: MeshDetectors, say: @escaping @Sendable (String) -> Void) {
        judge = Mutex(MeshJudge(seed: seed, epoch: epoch, detectors: detectors))
        self.say = say
    }

    /// Takes a report and says what its sender does not know yet.
    func take(_ report: MeshReport, known: OutlierReportCoding.Known, now: MonotonicInstant) -> MeshWord {
        tick(now: now)
        return judge.withLock { judge in
            _ = judge.take(report, now: now)
            guard known != OutlierReportCoding.Known(epoch: judge.epoch, generation: judge.generation) else {
                var word = MeshWord(epoch: judge.epoch, generation: judge.generation)
                word.isUnchanged = true
                return word
            }
            return judge.word(for: report.reporter, now: now)
        }
    }

    /// Ends the windows that are due. Now and then.
    public func tick(now: MonotonicInstant) {
        for decision in judge.withLock({ $0.tick(now: now) }) {
            switch decision.outcome {
            case .ejected(let until, _):
                let seconds = until.nanoseconds(since: now) / 1_000_000_000
                let why = decision.reason.map { reason in "\(reason.name): \(decision.evidence?.text(reason) ?? "")" } ?? ""
                say("outlier: \(decision.endpoint) of \(decision.cluster) is ejected mesh-wide for \(seconds) s (\(why))")
            case .unejected: say("outlier: \(decision.endpoint) of \(decision.cluster) is admitted again mesh-wide")
            default: break
            }
        }
    }

    /// A moment's picture.
    public struct Picture: Sendable {
        public var generation: UInt64
        public var size: MeshJudge.Size
        public var counters: MeshCounters
        public var ejections: [MeshJudge.Running]
        /// Of the last hour, oldest first.
        public var decisions: [MeshDecision]
    }

    public func picture(now: MonotonicInstant) -> Picture {
        judge.withLock { judge in
            Picture(
                generation: judge.generation, size: judge.size, counters: judge.counters, ejections: judge.ejections,
                decisions: judge.decisions(now: now))
        }
    }
}

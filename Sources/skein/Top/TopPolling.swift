internal import EventLoops
internal import Primitives
internal import Synchronization

/// Asks for pictures on a thread of its own, one at a time, so that keys are answered while a server is slow. The thread ends with the
/// process.
final class TopPolling: Sendable {
    private struct State {
        var wanted: TopDimension?
        var isAsking = false
    }

    private let reader: TopReader
    private let state = Mutex(State())
    private let questions: Mailbox<Bool>
    private let answers: Mailbox<Result<TopPicture, TopProblem>>

    init(_ reader: TopReader) throws(SystemError) {
        self.reader = reader
        questions = try Mailbox()
        answers = try Mailbox()
        _ = try WorkerThread(name: "top") { [self] in run() }
    }

    /// Readable when there is an answer.
    var descriptor: Int32 { answers.descriptor }

    /// Wants a picture. While one is asked for, this is asked next; of several the last counts.
    func ask(for dimension: TopDimension) {
        state.withLock { $0.wanted = dimension }
        questions.wake()
    }

    func take() -> [Result<TopPicture, TopProblem>] { answers.take() }

    private func run() {
        while true {
            questions.wait()
            _ = questions.take()
            let wanted = state.withLock { state in
                defer { state.wanted = nil }
                return state.wanted
            }
            guard let wanted else { continue }
            do throws(TopProblem) {
                answers.send(.success(try reader.picture(wanted)))
            } catch {
                answers.send(.failure(error))
            }
        }
    }
}

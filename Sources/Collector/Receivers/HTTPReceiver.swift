internal import HTTPService

/// A protocol's endpoint over HTTP.
protocol HTTPReceiver: Sendable {
    /// Nil when the request is not for a receiver although its path is.
    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome?
}

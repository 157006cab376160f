internal import HTTPService

/// Asks the parts of a server in turn whose path a request is.
final class EndpointRouter: ServiceHandler {
    typealias Part = @Sendable (borrowing ServiceRequest, Responder) -> ServiceOutcome?

    private let parts: [Part]
    /// What a lost caller is told.
    private let help: String

    init(help: String, _ parts: [Part]) {
        self.help = help
        self.parts = parts
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        for part in parts {
            if let outcome = part(request, responder) { return outcome }
        }
        return .respond(.text(404, "nothing here; \(help)"))
    }
}

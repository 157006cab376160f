internal import HTTPService

/// Asks the parts of a server in turn whose path a request is.
final class EndpointRouter: ServiceHandler {
    typealias Part = @Sendable (borrowing ServiceRequest, Responder) -> ServiceOutcome?
    typealias Opener = @Sendable (borrowing ServiceRequest) -> ServiceOpening?

    /// Asked about the head of a request, before its body has come.
    private let opener: Opener
    private let parts: [Part]
    /// What a lost caller is told.
    private let help: String

    init(help: String, opener: @escaping Opener = { _ in nil }, _ parts: [Part]) {
        self.help = help
        self.opener = opener
        self.parts = parts
    }

    func open(_ request: borrowing ServiceRequest) -> ServiceOpening { opener(request) ?? .collect }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        for part in parts {
            if let outcome = part(request, responder) { return outcome }
        }
        return .respond(.text(404, "nothing here; \(help)"))
    }
}

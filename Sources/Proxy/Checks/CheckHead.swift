internal import HTTP
internal import Policy
internal import Primitives
internal import TelemetryModel

/// The head of a check: which of the request's fields an authorizer sees. It sees them as the endpoint would: what only this hop's clients
/// may not say is left out, and who the client is, is the proxy's to say.
enum CheckHead {
    /// A request like the one that is checked (Envoy: `http_service`), with the body that `check` has.
    static func writeHTTP(_ check: inout AuthorizationCheck, _ request: inout Request, _ authorizer: ExternalAuthorizer, isPartial: Bool) {
        copyFields(to: &check.head, &request)
        check.head.filter { head, index in authorizer.sends(head.nameBytes(at: index)) }
        for (name, value) in authorizer.additionalFields {
            unsafe name.withUnsafeBytes { name in
                unsafe value.withUnsafeBytes { value in _ = unsafe check.head.add(name, value) }
            }
        }
        if !check.body.isEmpty {
            check.head.add("x-envoy-auth-partial-body") { $0.append(isPartial ? "true" : "false") }
        }
        let target = check.head.sentTarget
        let isPath = check.head.bytes(target).hasPrefix(LentBytes("/"))
        if !authorizer.pathPrefix.isEmpty || !isPath {
            check.head.sentTarget = check.head.write { output in
                output.append(contentsOf: authorizer.pathPrefix)
                if !isPath { output.append("/") }
                output.append(copyOf: target)
            }
        }
        check.head.sentAuthority = request.target.authority
        check.head.announce(length: UInt64(check.body.count))
    }

    // MARK: gRPC

    /// What an authorizer is told by gRPC besides the fields; good until the head's text grows.
    @unsafe
    static func describe(_ request: inout Request, _ peer: PeerView, body: LentBytes) -> CheckSubject {
        var subject = CheckSubject()
        subject.peer = peer
        subject.source = request.origin.remote
        subject.destination = request.origin.local
        subject.unixNanoseconds = request.log.record.startUnixNanoseconds
        if let id = request.head.bytes(of: .requestID), !request.origin.isEdge { subject.id = id }
        subject.method = request.head.methodBytes
        subject.target = request.head.bytes(request.head.sentTarget)
        subject.authority = request.head.bytes(request.target.authority)
        subject.isHTTPS = request.target.isHTTPS
        subject.version = request.origin.isHTTP2 ? "HTTP/2" : request.traits.contains(.isHTTP10) ? "HTTP/1.0" : "HTTP/1.1"
        subject.bodyBytes = request.log.record.requestBodyBytes
        subject.body = body
        return subject
    }

    /// A unary call of `envoy.service.auth.v3.Authorization/Check`, with its message as the body.
    static func writeGRPC(
        _ check: inout AuthorizationCheck, _ request: inout Request, _ subject: CheckSubject, _ authorizer: ExternalAuthorizer
    ) {
        copyFields(to: &check.head, &request)
        writeCall(&check, subject, authorizer)
    }

    /// The same of a subject whose fields, if it has any, stand in the check's head.
    static func writeCall(_ check: inout AuthorizationCheck, _ subject: CheckSubject, _ authorizer: ExternalAuthorizer) {
        check.message.write(subject, check.head, authorizer)
        check.body.append(contentsOf: check.message.frame)
        check.head.beginRequest(
            method: "POST", target: "/envoy.service.auth.v3.Authorization/Check", authority: authorizer.authority,
            length: UInt64(check.body.count))
        check.head.add("te", .te, text: "trailers")
        check.head.add("content-type", .contentType, text: "application/grpc")
        // At most eight digits (gRPC over HTTP/2, "Timeout").
        let milliseconds = authorizer.timeoutNanoseconds / 1_000_000
        check.head.add("grpc-timeout") { output in
            output.append(decimal: milliseconds < 100_000_000 ? milliseconds : min(milliseconds / 1000, 99_999_999))
            output.append(milliseconds < 100_000_000 ? "m" : "S")
        }
    }

    /// The fields of the request as an authorizer may see them, before one chooses among them.
    static func copyFields(to head: inout MessageHead, _ request: inout Request) {
        let isEdge = request.origin.isEdge
        let certAction = request.certAction
        head.keep(copyOf: request.head)
        head.filter { head, index in
            switch head.fieldName(at: index) {
            case .forwardedFor: return false
            case .forwardedClientCert: return certAction == .keep || certAction == .append
            case .envoyOther, .requestID, .forwardedProto: return !isEdge
            case .other:
                guard head.connection.contains(.namesOthers) else { return true }
                return !RequestFieldRules.isNamedByConnection(head.nameBytes(at: index), head)
            case let known: return !known.isHopByHop
            }
        }
        addClient(to: &head, &request)
    }

    /// X-Forwarded-For with the client behind those before it, and X-Forwarded-Client-Cert.
    private static func addClient(to head: inout MessageHead, _ request: inout Request) {
        for index in 0..<request.head.fieldCount where request.head.fieldName(at: index) == .forwardedFor {
            _ = head.add(request.head.nameBytes(at: index), request.head.bytes(at: index))
        }
        let remote = request.origin.remote
        if remote.family != .absent { head.add("x-forwarded-for", .forwardedFor) { $0.append(address: remote) } }
        if request.certAction == .append || request.certAction == .replace, !request.cert.isEmpty {
            head.add("x-forwarded-client-cert", .forwardedClientCert) { $0.append(request.cert.lent) }
        }
        if !head.has(.forwardedProto) { head.add("x-forwarded-proto", .forwardedProto, text: request.target.isHTTPS ? "https" : "http") }
    }
}

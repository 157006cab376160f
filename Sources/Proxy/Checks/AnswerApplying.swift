internal import HTTP
internal import Policy
internal import Primitives

/// What an authorizer's answer changes: the request that goes on, and what its client is answered. `CheckAnswer` has left out what no
/// authorizer may change.
enum AnswerApplying {
    /// Changes the request's head, as the client sent it. False = it has no room for that many fields, or for so long a query.
    static func apply(_ answer: borrowing CheckAnswer, to request: inout Request, targetBytesMax: Int) -> Bool {
        guard answer.changesRequest else { return true }
        settleConnectionFields(&request.head)
        for edit in answer.edits where !edit.isOfResponse {
            if edit.action == .setParameter || edit.action == .removeParameter {
                QueryEditing.apply(answer, edit, to: &request)
                continue
            }
            guard change(&request.head, answer, edit) else { return false }
        }
        return request.head.sentTarget.count <= targetBytesMax
    }

    /// Adds to the head of an endpoint's response. False = it has no room for that many fields.
    static func apply(_ answer: borrowing CheckAnswer, toResponse head: inout MessageHead) -> Bool {
        for edit in answer.edits where edit.isOfResponse {
            guard change(&head, answer, edit) else { return false }
        }
        return true
    }

    /// Adds to the head that a refused client gets, in place of our own fields. Several of one name all stay: cookies, say. False = it has
    /// no room for that many fields.
    static func apply(_ answer: borrowing CheckAnswer, toRefusal head: inout MessageHead, isGRPC: Bool) -> Bool {
        for edit in answer.edits where edit.isOfResponse && passes(answer, edit, isGRPC: isGRPC) {
            removeFields(answer.name(of: edit), from: &head)
        }
        for edit in answer.edits where edit.isOfResponse && passes(answer, edit, isGRPC: isGRPC) {
            let (name, value) = (answer.name(of: edit), answer.value(of: edit))
            guard unsafe head.add(name.buffer, value.buffer) else { return false }
        }
        return true
    }

    /// What has no content has no type, as in Envoy; and what a call by gRPC came to is not for the authorizer to say in fields.
    private static func passes(_ answer: borrowing CheckAnswer, _ edit: CheckAnswer.Edit, isGRPC: Bool) -> Bool {
        let name = answer.name(of: edit)
        if name.equalsIgnoringCase(LentBytes("content-type")) { return !isGRPC && !answer.body.isEmpty }
        return !isGRPC || !name.equalsIgnoringCase(LentBytes("grpc-status")) && !name.equalsIgnoringCase(LentBytes("grpc-message"))
    }

    /// The fields that the client's `Connection` names go now, and the field with them: later it would take what the authorizer has set.
    private static func settleConnectionFields(_ head: inout MessageHead) {
        guard head.has(.connection) else { return }
        head.filter { head, index in
            let name = head.fieldName(at: index)
            if name == .connection { return false }
            return name != .other || !RequestFieldRules.isNamedByConnection(head.nameBytes(at: index), head)
        }
    }

    private static func change(_ head: inout MessageHead, _ answer: borrowing CheckAnswer, _ edit: CheckAnswer.Edit) -> Bool {
        let name = answer.name(of: edit)
        switch edit.action {
        case .set: removeFields(name, from: &head)
        case .setIfThere:
            guard has(name, head) else { return true }
            removeFields(name, from: &head)
        case .add: break
        case .addIfThere: if !has(name, head) { return true }
        case .addIfAbsent: if has(name, head) { return true }
        case .remove:
            removeFields(name, from: &head)
            return true
        case .setParameter, .removeParameter: return true
        }
        return unsafe head.add(name.buffer, answer.value(of: edit).buffer)
    }

    private static func has(_ name: LentBytes, _ head: borrowing MessageHead) -> Bool { head.bytes(named: name) != nil }

    private static func removeFields(_ name: LentBytes, from head: inout MessageHead) {
        head.filter { head, index in !head.nameBytes(at: index).equalsIgnoringCase(name) }
    }
}

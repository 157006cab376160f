public import HTTP
public import Primitives

/// An authorizer's answer by gRPC: `envoy.service.auth.v3.CheckResponse` (envoy/service/auth/v3/external_auth.proto). Status 0 lets in,
/// every other refuses; a call that failed, or a message that cannot be read, is a failure.
extension CheckAnswer {
    /// Of a whole answer, its prefix included.
    public static let messageBytesMax = editBytesMax + bodyBytesMax + 32 * 1024

    /// `head` and `trailers`: of the response; of one that is nothing but trailers, the head has the status. `body`: the whole of it.
    public mutating func read(_ head: borrowing MessageHead, trailers: borrowing MessageHead, body: LentBytes) {
        clear()
        guard head.statusCode == 200, Self.isOK(head) ?? Self.isOK(trailers) ?? false, let message = Self.message(in: body) else { return }
        read(checkResponse: message)
    }

    /// Whether `grpc-status` says 0; nil = it says nothing.
    private static func isOK(_ head: borrowing MessageHead) -> Bool? {
        guard let status = head.bytes(named: "grpc-status") else { return nil }
        return status.decimal == 0
    }

    /// The one message of the call.
    private static func message(in body: LentBytes) -> LentBytes? {
        var framing = GRPCFraming(bytesMax: messageBytesMax)
        let (consumed, event) = unsafe framing.next(body.buffer)
        switch event {
        case .message(let count):
            guard framing.isComplete, !framing.isCompressed, consumed + count == body.count else { return nil }
            return body[consumed..<consumed + count]
        // A message of no bytes: status 0 and nothing else.
        case .needMore: return framing.isComplete && !framing.isCompressed ? LentBytes() : nil
        case .refused: return nil
        }
    }

    /// A message that breaks its encoding, or asks for what cannot be done, is a failure.
    mutating func read(checkResponse message: LentBytes) {
        clear()
        var fields = ProtobufFields(message)
        var (status, ok, denied) = (UInt64(0), LentBytes(), LentBytes())
        while let (number, value) = fields.next() {
            switch (number, value) {
            case (1, .bytes(let bytes)):
                guard let code = Self.number(1, in: bytes) else { return }
                status = code
            case (2, .bytes(let bytes)): (denied, ok) = (bytes, LentBytes())
            case (3, .bytes(let bytes)): (ok, denied) = (bytes, LentBytes())
            default: continue
            }
        }
        guard !fields.isBroken, status == 0 ? readAllowed(ok) : readDenied(denied) else { return fail() }
    }

    /// A number of a message; 0 = it is not there, nil = the message is broken.
    private static func number(_ wanted: UInt64, in message: LentBytes) -> UInt64? {
        var fields = ProtobufFields(message)
        var found: UInt64 = 0
        while let (number, value) = fields.next() { if number == wanted, case .number(let value) = value { found = value } }
        return fields.isBroken ? nil : found
    }

    // MARK: Letting in

    /// `OkHttpResponse`. What goes out of the request goes last, as in Envoy.
    private mutating func readAllowed(_ message: LentBytes) -> Bool {
        let isRead = readEdits(message) { answer, number, bytes in
            switch number {
            case 2: answer.readField(bytes, isOfResponse: false, standard: .set)
            case 6: answer.readField(bytes, isOfResponse: true, standard: .add)
            case 7: answer.readParameter(bytes)
            default: true
            }
        }
        let isWhole = isRead && readEdits(message) { answer, number, bytes in
            switch number {
            case 5: answer.removeField(bytes)
            case 8: answer.add(.removeParameter, isOfResponse: false, bytes)
            default: true
            }
        }
        guard isWhole else { return false }
        conclude(.allowed)
        return true
    }

    private mutating func readEdits(_ message: LentBytes, _ take: (inout CheckAnswer, UInt64, LentBytes) -> Bool) -> Bool {
        var fields = ProtobufFields(message)
        while let (number, value) = fields.next() {
            if case .bytes(let bytes) = value, !take(&self, number, bytes) { return false }
        }
        return !fields.isBroken
    }

    private mutating func removeField(_ name: LentBytes) -> Bool {
        guard CheckFields.isForRequests(name) else {
            noteDropped()
            return true
        }
        return add(.remove, isOfResponse: false, name)
    }

    /// `QueryParameter`.
    private mutating func readParameter(_ message: LentBytes) -> Bool {
        guard let (name, value) = Self.pair(message) else { return false }
        return name.isEmpty || add(.setParameter, isOfResponse: false, name, value)
    }

    // MARK: Refusing

    /// `DeniedHttpResponse`.
    private mutating func readDenied(_ message: LentBytes) -> Bool {
        var fields = ProtobufFields(message)
        var status: UInt64 = 0
        while let (number, value) = fields.next() {
            guard case .bytes(let bytes) = value else { continue }
            switch number {
            case 1:
                guard let code = Self.number(1, in: bytes) else { return false }
                status = code
            case 2: if !readField(bytes, isOfResponse: true, standard: .set) { return false }
            case 3: if !setBody(bytes) { return false }
            default: continue
            }
        }
        guard !fields.isBroken else { return false }
        // What is no final status is 403, as where there is none.
        conclude(.denied(status: (200...599).contains(status) ? UInt16(clamping: status) : 403))
        return true
    }

    // MARK: Fields

    /// `HeaderValueOption`: a name, a value, and what becomes of fields that are there. `standard`: where it says nothing. False = it
    /// cannot be sent, or there are too many.
    private mutating func readField(_ message: LentBytes, isOfResponse: Bool, standard: Action) -> Bool {
        var fields = ProtobufFields(message)
        var (pair, action): ((LentBytes, LentBytes)?, Action) = (nil, standard)
        while let (number, value) = fields.next() {
            switch (number, value) {
            case (1, .bytes(let bytes)):
                pair = Self.pair(bytes)
                if pair == nil { return false }
            case (2, .bytes(let bytes)):
                guard let appends = Self.number(1, in: bytes) else { return false }
                action = appends == 0 ? .set : isOfResponse ? .add : .addIfThere
            case (3, .number(let kind)): if let asked = Self.action(kind) { action = asked }
            default: continue
            }
        }
        guard !fields.isBroken else { return false }
        guard let (name, value) = pair else { return true }
        guard CheckFields.isToken(name) || name.count > 0 && name[0] == UInt8(ascii: ":"), CheckFields.isValue(value) else { return false }
        guard isOfResponse ? CheckFields.isForResponses(name) : CheckFields.isForRequests(name) else {
            noteDropped()
            return true
        }
        return add(action, isOfResponse: isOfResponse, name, value)
    }

    /// `HeaderAppendAction`; 0 is the standard.
    private static func action(_ kind: UInt64) -> Action? {
        switch kind {
        case 1: .addIfAbsent
        case 2: .set
        case 3: .setIfThere
        default: nil
        }
    }

    /// Field 1 and field 2 (or 3, the same as bytes) of a message; nil = it is broken.
    private static func pair(_ message: LentBytes) -> (LentBytes, LentBytes)? {
        var fields = ProtobufFields(message)
        var (name, value) = (LentBytes(), LentBytes())
        while let (number, field) = fields.next() {
            guard case .bytes(let bytes) = field else { continue }
            if number == 1 { name = bytes }
            if number == 2 || number == 3, !bytes.isEmpty { value = bytes }
        }
        return fields.isBroken ? nil : (name, value)
    }
}

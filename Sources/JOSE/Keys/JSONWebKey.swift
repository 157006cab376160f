internal import Primitives

/// One key of a set (RFC 7517 4), checked and made into what OpenSSL verifies with.
struct JSONWebKey: ~Copyable {
    /// What is verified with: a public key, or for HMAC its secret.
    private(set) var publicKey: EVPKey?
    private(set) var secret: [UInt8] = []
    private(set) var keyID: [UInt8] = []
    private(set) var algorithms: SigningAlgorithms = []
    /// For people: `RSA 2048`, `P-256`.
    private(set) var kind = ""
    private(set) var isPrivate = false

    /// The key that is the object `index` of `document`.
    init(_ document: borrowing JSONDocument, _ index: Int, allowsSymmetric: Bool, limits: JOSELimits) throws(KeyProblem) {
        guard document.isObject(index) else { throw .notObject }
        let members = KeyMembers(index)
        if let name = try members.string("kid", .kid, document) {
            if name.count > limits.keyIDBytes { throw .keyIDTooLong }
            keyID = name.copied
        }
        guard let type = try members.string("kty", .kty, document) else { throw .missing(.kty) }
        try Self.checkUse(members, document)
        var stated: SigningAlgorithm?
        if let name = try members.string("alg", .alg, document) {
            stated = SigningAlgorithm(name)
            if stated == nil { throw .algorithmUnknown }
        }
        isPrivate = document.member("d", of: index) != nil
        switch true {
        case type == "RSA": try readRSA(members, document)
        case type == "EC", type == "OKP": try readCurve(members, document, isEdwards: type == "OKP")
        case type == "oct":
            if !allowsSymmetric { throw .symmetric }
            try readSecret(members, document, stated)
        default: throw .typeUnknown
        }
        guard let stated else { return }
        guard algorithms.contains(stated) else { throw .algorithmOfOtherKind }
        algorithms = SigningAlgorithms(stated)
    }

    consuming func takePublicKey() -> EVPKey? { publicKey.take() }

    /// `use` and `key_ops` (RFC 7517 4.2, 4.3).
    private static func checkUse(_ members: KeyMembers, _ document: borrowing JSONDocument) throws(KeyProblem) {
        if let use = try members.string("use", .use, document), !(use == "sig") { throw .notForSignatures }
        guard let list = document.member("key_ops", of: members.object) else { return }
        guard document.values[list].kind == .list else { throw .notString(.keyOps) }
        var element = list + 1
        while element < Int(document.values[list].next) {
            if let operation = document.string(element), operation == "verify" { return }
            element = Int(document.values[element].next)
        }
        throw .notForVerifying
    }

    // MARK: - RSA (RFC 7518 6.3)

    private mutating func readRSA(_ members: KeyMembers, _ document: borrowing JSONDocument) throws(KeyProblem) {
        algorithms = .rsa
        if !members.has("n", document), !members.has("e", document), let certified = try members.certified(document) {
            guard certified.isRSA else { throw .certificateOfOtherKind }
            try takeRSA(certified)
            return
        }
        let modulus = try members.number("n", .n, document)
        let exponent = try members.number("e", .e, document)
        try Self.checkExponent(exponent)
        let bits = modulus.count * 8 - (modulus.first?.leadingZeroBitCount ?? 0)
        guard JOSELimits.rsaBits.contains(bits) else { throw .rsaBits(bits) }
        guard let last = modulus.last, last & 1 == 1 else { throw .rsaModulusEven }
        guard let key = KeyParameters.rsa(modulus: modulus, exponent: exponent) else { throw .refused }
        try takeRSA(key)
    }

    private mutating func takeRSA(_ key: consuming EVPKey) throws(KeyProblem) {
        let bits = key.bits
        guard JOSELimits.rsaBits.contains(bits) else { throw .rsaBits(bits) }
        try Self.checkExponent(key.rsaExponent)
        kind = "RSA \(bits)"
        publicKey = consume key
    }

    /// Without leading zeros.
    private static func checkExponent(_ bytes: [UInt8]) throws(KeyProblem) {
        guard let last = bytes.last, last & 1 == 1, bytes.count * 8 <= JOSELimits.rsaExponentBitsMax, bytes != [1]
        else { throw .rsaExponent }
    }

    // MARK: - Curves (RFC 7518 6.2, RFC 8037 2)

    private mutating func readCurve(_ members: KeyMembers, _ document: borrowing JSONDocument, isEdwards: Bool) throws(KeyProblem) {
        guard let name = try members.string("crv", .crv, document) else { throw .missing(.crv) }
        guard let curve = Curve.allCases.first(where: { name == $0.name && $0.isEdwards == isEdwards }) else { throw .curveUnknown }
        for algorithm in curve.algorithms { algorithms.insert(SigningAlgorithms(algorithm)) }
        kind = "\(curve.name)"
        if !members.has("x", document), !members.has("y", document), let certified = try members.certified(document) {
            guard certified.isOn(curve), certified.isSound else { throw .certificateOfOtherKind }
            publicKey = consume certified
            return
        }
        let x = try members.bytes("x", .x, document)
        guard x.count == curve.bytes else { throw .wrongLength(.x) }
        if isEdwards {
            guard let key = EVPKey(edwards: curve, bytes: x) else { throw .refused }
            publicKey = consume key
            return
        }
        let y = try members.bytes("y", .y, document)
        guard y.count == curve.bytes else { throw .wrongLength(.y) }
        guard let key = KeyParameters.ec(curve, x: x, y: y) else { throw .notOnCurve }
        publicKey = consume key
    }

    // MARK: - HMAC (RFC 7518 6.4)

    /// A secret without `alg` serves every hash that it is long enough for (RFC 7518 3.2).
    private mutating func readSecret(
        _ members: KeyMembers, _ document: borrowing JSONDocument, _ stated: SigningAlgorithm?
    ) throws(KeyProblem) {
        secret = try members.bytes("k", .k, document)
        isPrivate = false
        kind = "oct \(secret.count * 8)"
        let family: [SigningAlgorithm] = [.hs256, .hs384, .hs512]
        for algorithm in family where secret.count >= algorithm.hash?.bytes ?? .max { algorithms.insert(SigningAlgorithms(algorithm)) }
        guard JOSELimits.secretBytes.contains(secret.count) else { throw .secretBytes }
        if let stated, family.contains(stated), !algorithms.contains(stated) { throw .secretBytes }
    }
}

/// Reads members of one object.
struct KeyMembers {
    let object: Int

    init(_ object: Int) { self.object = object }

    func has(_ name: StaticString, _ document: borrowing JSONDocument) -> Bool { document.member(name, of: object) != nil }

    /// Nil = not there.
    func string(
        _ name: StaticString, _ member: KeyProblem.StaticMember, _ document: borrowing JSONDocument
    ) throws(KeyProblem) -> LentBytes? {
        guard let index = document.member(name, of: object) else { return nil }
        guard let text = document.string(index) else { throw .notString(member) }
        return text
    }

    func bytes(_ name: StaticString, _ member: KeyProblem.StaticMember, _ document: borrowing JSONDocument) throws(KeyProblem) -> [UInt8] {
        guard let text = try string(name, member, document) else { throw .missing(member) }
        var bytes = ByteBuffer()
        guard !text.isEmpty, Base64URL.decode(text, into: &bytes) else { throw .notBase64(member) }
        return bytes.contents
    }

    /// A big-endian number (Base64urlUInt) without the leading zeros that some write.
    func number(_ name: StaticString, _ member: KeyProblem.StaticMember, _ document: borrowing JSONDocument) throws(KeyProblem) -> [UInt8] {
        let all = try bytes(name, member, document)
        return Array(all.drop { $0 == 0 })
    }

    /// The key of the first certificate in `x5c` (RFC 7517 4.7); nil = there is none. Its chain proves nothing here: the set is trusted
    /// for where it came from.
    func certified(_ document: borrowing JSONDocument) throws(KeyProblem) -> EVPKey? {
        guard let list = document.member("x5c", of: object) else { return nil }
        guard document.values[list].kind == .list, document.values[list].count > 0, let text = document.string(list + 1),
            let der = Base64URL.decodePadded(text), let key = EVPKey(certificate: der)
        else { throw .badCertificate }
        return key
    }
}
